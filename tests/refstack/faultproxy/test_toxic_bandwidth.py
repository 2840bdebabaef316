"""`bandwidth`: what it does to data, measured through an echo server."""

from __future__ import annotations

import threading
import time

from faultproxy_lab import LATE_S, Proxy


def test_the_rate_is_in_units_of_1000_bytes_a_second(proxy: Proxy) -> None:
    """200 kB at rate 500 take 0.4 s."""
    proxy.toxic("bandwidth", rate=500)
    client = proxy.connect()
    assert 0.38 <= client.echo_s(b"x" * 200_000) < 0.4 + LATE_S


def test_a_low_rate_trickles(proxy: Proxy) -> None:
    """One tenth of a second's worth every tenth of a second."""
    proxy.toxic("bandwidth", rate=1)
    client = proxy.connect()
    begun = time.monotonic()
    client.send(b"x" * 300)
    assert client.receive(100) == b"x" * 100
    first_s = time.monotonic() - begun
    assert client.receive(200) == b"x" * 200
    assert 0.09 <= first_s < 0.25
    assert time.monotonic() - begun >= 0.28


def test_it_holds_per_connection_and_direction(proxy: Proxy) -> None:
    """Two connections at once are each as fast as one alone."""
    proxy.toxic("bandwidth", rate=500)
    clients = [proxy.connect(), proxy.connect()]
    seconds: list[float] = []
    threads = [
        threading.Thread(target=lambda c=client: seconds.append(c.echo_s(b"x" * 100_000)))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(seconds) == 2
    assert all(0.18 <= taken < 0.2 + LATE_S for taken in seconds)


def test_zero_holds_data_until_removal(proxy: Proxy) -> None:
    """Nothing passes, nothing is lost."""
    toxic = proxy.toxic("bandwidth", rate=0)
    client = proxy.connect()
    client.send(b"held")
    assert client.silent_for(0.3)
    proxy.remove(toxic)
    assert client.receive(4) == b"held"


def test_removal_releases_the_rest_at_once(proxy: Proxy) -> None:
    """A chunk on its way is finished at full speed."""
    toxic = proxy.toxic("bandwidth", rate=1)
    client = proxy.connect()
    client.send(b"x" * 30_000)
    assert client.receive(10) == b"x" * 10
    begun = time.monotonic()
    proxy.remove(toxic)
    assert client.receive(29_990) == b"x" * 29_990
    assert time.monotonic() - begun < LATE_S


def test_an_update_changes_the_rate_of_open_connections(proxy: Proxy) -> None:
    """From a crawl to a run."""
    toxic = proxy.toxic("bandwidth", rate=1)
    client = proxy.connect()
    proxy.update(toxic, rate=100_000)
    assert client.echo_s(b"x" * 100_000) < LATE_S
