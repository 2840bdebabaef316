"""The HTTP toxics keep connections in step: open ones, cut ones, those of other protocols."""

from __future__ import annotations

import contextlib
import http.client
import json

import pytest
from faultproxy_lab import Proxy
from http_lab import RATED, TEI, Make, answer, as_json, ranking

pytestmark = pytest.mark.usefixtures("ours")

# On open connections.


def test_what_is_under_way_stays_whole_and_the_next_is_hit(site: Make) -> None:
    real = as_json({"half": "and half"}).replace(b"half", b"ha<PAUSE>lf", 1)
    whole = real.replace(b"<PAUSE>", b"")
    here = site(real, as_json({}))
    client = here.proxy.connect()
    ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    client.send(ask)
    seen = client.receive(whole.index(b"ha") + 2)
    here.proxy.toxic("http_status", status=503)
    here.upstream.go_on.set()
    assert seen + client.receive(len(whole) - len(seen)) == whole
    client.send(ask)
    assert client.receive(12) == b"HTTP/1.1 503"
    client.close()


@pytest.mark.parametrize("change", ["remove", "update"])
def test_what_is_held_goes_on_unchanged_when_the_toxic_goes(site: Make, change: str) -> None:
    real = as_json({"half": "and half"}).replace(b"half", b"ha<PAUSE>lf", 1)
    whole = real.replace(b"<PAUSE>", b"")
    here = site(real, as_json({}))
    toxic = here.proxy.toxic("http_malformed_json")
    client = here.proxy.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.silent_for(0.2), "the whole body is needed to change it"
    here.proxy.remove(toxic) if change == "remove" else here.proxy.update(toxic, rate=1)
    half = whole.index(b"ha") + 2
    assert client.receive(half) == whole[:half]
    here.upstream.go_on.set()
    assert client.receive(len(whole) - half) == whole[half:]
    client.close()


def test_the_rest_of_a_replaced_answer_never_reaches_the_client(site: Make) -> None:
    real = as_json({"half": "and half"}).replace(b"half", b"ha<PAUSE>lf", 1)
    here = site(real)
    toxic = here.proxy.toxic("http_status", status=500)
    browser = here.browser()
    assert browser.get()[0] == 500
    here.proxy.remove(toxic)
    here.upstream.go_on.set()
    with contextlib.suppress(http.client.HTTPException, ConnectionError):
        status, body = browser.get()
        assert (status, json.loads(body)) == (200, {"half": "and half"})


def test_an_answer_that_is_not_hit_is_not_held_up(site: Make) -> None:
    """Its first half arrives before its second half is sent."""
    here = site(answer(b"first <PAUSE>second", "text/plain"))
    here.proxy.toxic("http_malformed_json")
    client = here.proxy.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = answer(b"first <PAUSE>second", "text/plain").index(b"first")
    assert client.receive(head + 6).endswith(b"\r\n\r\nfirst ")
    here.upstream.go_on.set()
    assert client.receive(6) == b"second"
    client.close()


def test_requests_sent_ahead_are_answered_in_order(site: Make) -> None:
    here = site(as_json(1), as_json(2), as_json(3))
    here.proxy.toxic("http_status", status=503)
    client = here.proxy.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    one = client.receive(12)
    assert one == b"HTTP/1.1 503"
    rest = b""
    while rest.count(b"503 ") < 2:
        rest += client.receive(1)
    client.close()


def test_a_cut_answer_stays_cut(site: Make) -> None:
    real = as_json({"a": 1}, "Connection: close").replace(b"Length: 8", b"Length: 80")
    here = site(real)
    here.proxy.toxic("http_malformed_json")
    client = here.proxy.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.receive(len(real)) == real
    assert client.ending() == "eof"


# Beside the TCP toxics.


@pytest.mark.parametrize("toxic", RATED)
def test_what_is_not_http_passes_untouched(proxy: Proxy, toxic: str) -> None:
    proxy.toxic(toxic)
    client = proxy.connect()
    for data in (b"ping", b"\x00\x01", b"HTTP/1.1 200 OK\r\n\r\n", b"GET x\r\n\r\n" * 2000):
        assert client.echo(data) == data
    client.close()


def test_it_stacks_with_toxics_that_cut_the_data(site: Make) -> None:
    here = site(as_json(TEI))
    here.proxy.toxic("slicer", average_size=3, delay=0)
    here.proxy.toxic("http_rerank_missing", missing=1)
    here.proxy.toxic("slicer", name="after", average_size=5, delay=0)
    browser = here.browser()
    assert [len(ranking(browser.get()[1])) for _ in range(5)] == [2] * 5


def test_a_connection_that_toxicity_spares_sees_nothing(site: Make) -> None:
    here = site(as_json({}))
    toxic = here.proxy.toxic("http_status", status=500, toxicity=0.0)
    browser = here.browser()
    assert [browser.get()[0] for _ in range(3)] == [200] * 3
    here.proxy.update(toxic, toxicity=1.0)
    assert [browser.get()[0] for _ in range(3)] == [500] * 3
