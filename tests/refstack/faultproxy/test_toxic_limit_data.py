"""`limit_data`: what it does to data, measured through an echo server."""

from __future__ import annotations

import pytest
from faultproxy_lab import Echo, Proxy


@pytest.mark.parametrize("sent", [100, 101, 100_000])
def test_exactly_the_limit_passes_then_the_connection_ends(
    proxy: Proxy, echo: Echo, sent: int
) -> None:
    """Upstream gets the first 100 bytes, and no more."""
    proxy.toxic("limit_data", "upstream", bytes=100)
    client = proxy.connect()
    client.send(b"x" * sent)
    echo.ended()
    assert echo.received == b"x" * 100


def test_it_counts_per_connection_from_when_it_was_added(proxy: Proxy) -> None:
    """What passed before does not count."""
    first = proxy.connect()
    assert first.echo(b"x" * 500) == b"x" * 500
    proxy.toxic("limit_data", bytes=10)
    assert first.echo(b"123456") == b"123456"
    second = proxy.connect()
    assert second.echo(b"123456") == b"123456"
    assert first.echo(b"789abcd") == b"789a"
    assert second.echo(b"789abcd") == b"789a"


def test_the_count_survives_an_update(proxy: Proxy) -> None:
    """Raising the limit gives what is left of it."""
    toxic = proxy.toxic("limit_data", bytes=10)
    client = proxy.connect()
    assert client.echo(b"12345678") == b"12345678"
    proxy.update(toxic, bytes=12)
    assert client.echo(b"9abcdef") == b"9abc"


def test_zero_ends_the_connection_on_its_first_data(proxy: Proxy) -> None:
    """Not before."""
    proxy.toxic("limit_data", bytes=0)
    client = proxy.connect()
    assert client.silent_for(0.1)
    client.send(b"x")
    assert client.ending() == "eof"
