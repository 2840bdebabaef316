"""`slicer`: what it does to data, measured through an echo server."""

from __future__ import annotations

import os

from faultproxy_lab import LATE_S, Echo, Proxy


def test_data_arrives_whole_in_small_pieces(proxy: Proxy, echo: Echo) -> None:
    """No piece exceeds the average size and its variation; 5 ms apart they arrive one by one."""
    proxy.toxic("slicer", "upstream", average_size=100, size_variation=20, delay=5000)
    data = os.urandom(3000)
    client = proxy.connect()
    assert client.echo(data) == data
    assert len(echo.reads) >= 20
    assert sorted(echo.reads)[len(echo.reads) // 2] <= 120


def test_the_delay_is_in_microseconds_after_each_slice(proxy: Proxy) -> None:
    """At least 16 slices, 10 ms each, the last one's not seen."""
    proxy.toxic("slicer", average_size=10, delay=10_000)
    assert 0.14 <= proxy.connect().echo_s(b"x" * 160) < 0.16 + LATE_S


def test_removal_sends_the_rest_at_once(proxy: Proxy) -> None:
    """In order."""
    toxic = proxy.toxic("slicer", average_size=1, delay=1_000_000)
    client = proxy.connect()
    client.send(b"abcdefgh")
    assert client.receive(1) == b"a"
    proxy.remove(toxic)
    assert client.receive(7) == b"bcdefgh"
