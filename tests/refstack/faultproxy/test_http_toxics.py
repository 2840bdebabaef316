"""The HTTP toxics, measured through a real upstream: what the client gets, and what stays whole."""

from __future__ import annotations

import base64
import gzip
import json
import math
import struct
from typing import Any

import pytest
from faultproxy_lab import Control, Proxy, Server
from http_lab import (
    COHERE,
    PACKED,
    RATED,
    TEI,
    VECTORS,
    Browser,
    Make,
    Site,
    answer,
    as_json,
    in_chunks,
    ranking,
)

pytestmark = pytest.mark.usefixtures("ours")

# Statuses.


@pytest.mark.parametrize(("status", "wait"), [(500, 0), (429, 7), (503, 0), (529, 0)])
def test_a_status_takes_the_place_of_the_answer(site: Make, status: int, wait: int) -> None:
    here = site(as_json({"real": "answer"}))
    here.proxy.toxic("http_status", status=status, retry_after=wait)
    got, fields, body = here.browser().whole()
    assert got == status
    assert fields.get("retry-after") == (str(wait) if wait else None)
    assert fields["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == status
    assert len(here.upstream.requests) == 1, "the server did its work"


@pytest.mark.parametrize("real", [as_json([1, 2]), in_chunks(b'{"a": 1}', 2, 3)])
def test_the_connection_goes_on_after_a_status(site: Make, real: bytes) -> None:
    here = site(real)
    toxic = here.proxy.toxic("http_status", status=503)
    browser = here.browser()
    assert [browser.get()[0] for _ in range(5)] == [503] * 5
    here.proxy.remove(toxic)
    assert browser.get()[0] == 200
    assert browser.same_connection


def test_a_long_answer_that_is_replaced_keeps_the_connection(site: Make) -> None:
    here = site(answer(b"x" * 3_000_000, "text/plain"))
    here.proxy.toxic("http_status", status=503)
    browser = here.browser()
    assert [browser.get()[0] for _ in range(5)] == [503] * 5
    assert browser.same_connection


def test_a_response_to_head_has_no_body(site: Make) -> None:
    here = site(as_json({}).replace(b"\r\n\r\n{}", b"\r\n\r\n"), as_json({"after": 1}))
    toxic = here.proxy.toxic("http_status", status=500)
    browser = here.browser()
    assert browser.get(method="HEAD") == (500, b"")
    here.proxy.remove(toxic)
    assert browser.get() == (200, b'{"after": 1}')


def test_a_connection_that_was_to_close_closes(site: Make) -> None:
    here = site(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end")
    here.proxy.toxic("http_status", status=500)
    _, fields, _ = here.browser().whole()
    assert fields["connection"] == "close"


# Rates and seeds.


def test_a_rate_hits_that_share_of_the_requests_of_one_connection(site: Make) -> None:
    here = site(as_json({}))
    here.proxy.toxic("http_status", status=500, rate=0.3)
    browser = here.browser()
    hit = sum(browser.get()[0] == 500 for _ in range(300))
    # Beyond these a fair draw lands once in ten million times.
    assert 50 <= hit <= 135


def test_rate_zero_hits_none(site: Make) -> None:
    here = site(as_json({}))
    here.proxy.toxic("http_status", status=500, rate=0)
    browser = here.browser()
    assert {browser.get()[0] for _ in range(20)} == {200}


def test_the_seed_repeats_the_draws() -> None:
    patterns = []
    for seed in (5, 5, 6):
        server = Server("--seed", str(seed))
        here = Site(Control(server.url), "same-name", as_json({}))
        here.proxy.toxic("http_status", status=500, rate=0.5)
        browser = here.browser()
        patterns.append([browser.get()[0] for _ in range(40)])
        here.upstream.close()
        server.stop()
    assert patterns[0] == patterns[1] != patterns[2]


# Broken JSON.


@pytest.mark.parametrize(
    "real",
    [
        as_json({"a": [1, 2, 3]}),
        in_chunks(b'{"a": [1, 2, 3]}', 1, 5),
        answer(gzip.compress(b'{"a": [1, 2, 3]}'), "application/json", "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[1, 2, 3]",
        answer(b"12", "application/problem+json"),
        answer(b"1"),
        answer(b'""'),
    ],
)
def test_json_is_broken_and_http_is_not(site: Make, real: bytes) -> None:
    here = site(real)
    here.proxy.toxic("http_malformed_json")
    status, fields, body = here.browser().whole()
    assert status == 200
    assert int(fields["content-length"]) == len(body)
    assert "transfer-encoding" not in fields and "content-encoding" not in fields
    with pytest.raises(ValueError):
        json.loads(body)


@pytest.mark.parametrize("toxic", RATED[1:6])
@pytest.mark.parametrize(
    "real",
    [
        answer(b"not json at all", "text/plain"),
        answer(b"\x00" * 5_000_000),
        answer(b"not gzip", "application/json", "Content-Encoding: gzip"),
        in_chunks(b"{}", 1).replace(b"/json", b"/octet-stream"),
    ],
)
def test_what_a_toxic_cannot_change_passes_byte_for_byte(
    site: Make, toxic: str, real: bytes
) -> None:
    """Other types, bodies over the limit, encodings that can't be undone: as they came."""
    here = site(real)
    here.proxy.toxic(toxic)
    client = here.proxy.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.receive(len(real)) == real
    client.close()


# Embeddings.


@pytest.mark.parametrize(("change", "length"), [(-1, 2), (2, 5), (-4096, 0)])
@pytest.mark.parametrize("real", [VECTORS, PACKED, [[1.0, 2.0, 3.0]]])
def test_vectors_have_another_length(site: Make, real: Any, change: int, length: int) -> None:
    here = site(as_json(real))
    here.proxy.toxic("http_embedding_dimension", change=change)
    assert [len(v) for v in vectors(here.browser().get()[1])] == [length]


@pytest.mark.parametrize("real", [VECTORS, PACKED, [[1.0, 2.0, 3.0]]])
def test_one_number_of_each_vector_is_none(site: Make, real: Any) -> None:
    here = site(as_json(real))
    here.proxy.toxic("http_embedding_nan")
    (vector,) = vectors(here.browser().get()[1])
    assert (len(vector), sum(math.isnan(n) for n in vector)) == (3, 1)


@pytest.mark.parametrize("real", [VECTORS, PACKED, [[1.0, 2.0, 3.0]]])
def test_vectors_come_out_of_another_space_under_its_name(site: Make, real: Any) -> None:
    here = site(as_json(real))
    here.proxy.toxic("http_embedding_space")
    body = here.browser().get()[1]
    own = vectors(json.dumps(real).encode())
    assert vectors(body) == [vector[::-1] for vector in own]
    if isinstance(real, dict):
        assert json.loads(body)["model"] == "another-model"


def vectors(body: bytes) -> list[list[float]]:
    """The vectors of an answer in any of the shapes."""
    answer = json.loads(body)
    found = []
    for entry in answer["data"] if isinstance(answer, dict) else answer:
        vector = entry["embedding"] if isinstance(entry, dict) else entry
        if isinstance(vector, str):
            raw = base64.b64decode(vector)
            vector = list(struct.unpack(f"<{len(raw) // 4}f", raw))
        found.append(vector)
    return found


# Rankings.


@pytest.mark.parametrize(("real", "score"), [(TEI, "score"), (COHERE, "relevance_score")])
def test_scores_go_to_the_wrong_texts(site: Make, real: Any, score: str) -> None:
    here = site(as_json(real))
    here.proxy.toxic("http_rerank_permuted")
    entries = ranking(here.browser().get()[1])
    assert [e[score] for e in entries] == [0.9, 0.5, 0.1]
    assert sorted(e["index"] for e in entries) == [0, 1, 2]
    before = {e["index"]: e["score"] for e in TEI}
    assert all(e[score] != before[e["index"]] for e in entries)


@pytest.mark.parametrize("real", [TEI, COHERE])
@pytest.mark.parametrize(("missing", "left"), [(1, 2), (3, 0), (1000, 0)])
def test_scores_are_missing(site: Make, real: Any, missing: int, left: int) -> None:
    here = site(as_json(real))
    here.proxy.toxic("http_rerank_missing", missing=missing)
    assert len(ranking(here.browser().get()[1])) == left


# Stale and duplicated replies.


def test_a_stale_reply_is_the_one_before_whoever_asked(site: Make) -> None:
    here = site(*(as_json({"n": n}) for n in range(9)))
    toxic = here.proxy.toxic("http_stale")
    one, other = here.browser(), here.browser()

    def ask(browser: Browser, target: str) -> Any:
        return json.loads(browser.get(target)[1])["n"]

    assert ask(one, "/a") == 0, "there was none before"
    assert ask(other, "/a") == 0
    assert ask(other, "/b") == 2, "another target"
    assert ask(one, "/a") == 1
    here.proxy.remove(toxic)
    assert ask(one, "/a") == 4
    assert one.same_connection


def test_a_duplicate_is_taken_for_the_next_answer(site: Make) -> None:
    here = site(as_json("first"), as_json("second"))
    here.proxy.toxic("http_duplicate")
    client = here.proxy.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.receive(2 * len(as_json("first"))) == 2 * as_json("first")
    assert client.silent_for(0.1)
    client.close()


# The API.


@pytest.mark.parametrize("toxic", RATED)
def test_it_works_on_responses_only(proxy: Proxy, control: Control, toxic: str) -> None:
    body = {"type": toxic, "stream": "upstream"}
    refused = control.call("POST", f"{proxy.path}/toxics", body)
    assert refused.status_code == 400
    assert "downstream" in refused.json()["error"]


@pytest.mark.parametrize(
    ("toxic", "attributes", "told"),
    [
        *((toxic, {"rate": 1.5}, "0 to 1") for toxic in RATED),
        ("http_status", {"status": 200}, "400 to 599"),
        ("http_status", {"retry_after": -1}, "0 to 86400"),
        ("http_status", {"code": 500}, "status, retry_after, rate"),
        ("http_embedding_dimension", {"change": 0}, "1 to 4096"),
        ("http_rerank_missing", {"missing": 0}, "1 to 1000"),
    ],
)
def test_what_it_cannot_do_is_refused(
    proxy: Proxy, control: Control, toxic: str, attributes: dict[str, Any], told: str
) -> None:
    body = {"type": toxic, "attributes": attributes}
    refused = control.call("POST", f"{proxy.path}/toxics", body)
    assert refused.status_code == 400
    assert told in refused.json()["error"]
    assert control.ok("GET", f"{proxy.path}/toxics") == []
