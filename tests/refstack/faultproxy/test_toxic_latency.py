"""`latency`: what it does to data, measured through an echo server."""

from __future__ import annotations

import time

from faultproxy_lab import LATE_S, Proxy


def test_it_delays_each_direction_it_is_on(proxy: Proxy) -> None:
    """One way each; both add up on a round trip."""
    client = proxy.connect()
    assert client.echo_s() < LATE_S
    proxy.toxic("latency", "downstream", latency=100)
    assert 0.1 <= client.echo_s() < 0.1 + LATE_S
    proxy.toxic("latency", "upstream", latency=150)
    assert 0.25 <= client.echo_s() < 0.25 + LATE_S


def test_the_handshake_is_not_delayed(proxy: Proxy) -> None:
    """Only data is."""
    proxy.toxic("latency", "upstream", latency=3000)
    begun = time.monotonic()
    proxy.connect()
    assert time.monotonic() - begun < LATE_S


def test_stacked_delays_add(proxy: Proxy) -> None:
    """Two toxics on one stream."""
    proxy.toxic("latency", name="a", latency=60)
    proxy.toxic("latency", name="b", latency=70)
    assert 0.13 <= proxy.connect().echo_s() < 0.13 + LATE_S


def test_stacked_delays_add_for_chunks_that_queue(ours: None, proxy: Proxy) -> None:
    """The second chunk waits as long as the first."""
    proxy.toxic("latency", name="a", latency=150)
    proxy.toxic("latency", name="b", latency=150)
    client = proxy.connect()
    begun = time.monotonic()
    client.send(b"1")
    time.sleep(0.1)
    client.send(b"2")
    assert client.receive(2) == b"12"
    assert time.monotonic() - begun >= 0.4


def test_delays_do_not_accumulate(proxy: Proxy) -> None:
    """Chunks sent while others wait are delayed from their own arrival."""
    proxy.toxic("latency", latency=300)
    client = proxy.connect()
    begun = time.monotonic()
    for number in range(5):
        client.send(bytes([number]))
        time.sleep(0.02)
    assert client.receive(5) == bytes(range(5))
    assert 0.38 <= time.monotonic() - begun < 0.38 + LATE_S


def test_jitter_spreads_the_delay_evenly_round_the_latency(proxy: Proxy) -> None:
    """Between the two bounds, on both sides of the middle."""
    proxy.toxic("latency", latency=30, jitter=25)
    client = proxy.connect()
    seen = [client.echo_s() for _ in range(24)]
    assert min(seen) >= 0.005
    assert min(seen) < 0.03 < max(seen)


def test_jitter_keeps_the_order_of_bytes(proxy: Proxy) -> None:
    """Data is a stream, whatever the draws."""
    proxy.toxic("latency", "upstream", latency=10, jitter=10)
    client = proxy.connect()
    sent = bytes(range(200))
    for byte in sent:
        client.send(bytes([byte]))
    assert client.receive(len(sent)) == sent


def test_removal_releases_what_waits_at_once(proxy: Proxy) -> None:
    """In order, all of it."""
    toxic = proxy.toxic("latency", latency=60_000)
    client = proxy.connect()
    for byte in b"abcdef":
        client.send(bytes([byte]))
        time.sleep(0.005)
    assert client.silent_for(0.1)
    proxy.remove(toxic)
    assert client.receive(6) == b"abcdef"
    assert client.echo() == b"ping"


def test_an_update_holds_for_open_connections(proxy: Proxy) -> None:
    """The next data takes the new delay."""
    toxic = proxy.toxic("latency", latency=60_000)
    client = proxy.connect()
    proxy.update(toxic, latency=50)
    assert 0.05 <= client.echo_s() < 0.05 + LATE_S


def test_a_negative_delay_is_none(proxy: Proxy) -> None:
    """As when jitter exceeds the latency."""
    proxy.toxic("latency", latency=-500)
    assert proxy.connect().echo_s() < LATE_S


def test_the_end_of_the_stream_waits_for_the_data_before_it(proxy: Proxy) -> None:
    """What was sent before a close arrives."""
    proxy.toxic("latency", "upstream", latency=100)
    proxy.toxic("slow_close", "upstream", delay=300)
    client = proxy.connect()
    assert client.echo(b"x" * 100_000) == b"x" * 100_000
