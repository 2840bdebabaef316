"""`noop`: changes nothing, measured through an echo server."""

from __future__ import annotations

import os

from faultproxy_lab import Proxy


def test_everything_passes_while_it_comes_and_goes(proxy: Proxy) -> None:
    """Bytes, in order, on one open connection."""
    client = proxy.connect()
    for stream in ("upstream", "downstream"):
        data = os.urandom(100_000)
        assert client.echo(data) == data
        toxic = proxy.toxic("noop", stream)
        assert client.echo(data) == data
        proxy.remove(toxic)
    assert client.echo(b"end") == b"end"
