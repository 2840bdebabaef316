"""`timeout`: what it does to data, measured through an echo server."""

from __future__ import annotations

import time

from faultproxy_lab import LATE_S, Echo, Proxy


def test_it_drops_data_and_closes_after_the_timeout(proxy: Proxy, echo: Echo) -> None:
    """Both legs end; nothing arrives."""
    proxy.toxic("timeout", "upstream", timeout=150)
    client = proxy.connect()
    begun = time.monotonic()
    client.send(b"lost")
    assert client.ending() == "eof"
    assert 0.15 <= time.monotonic() - begun < 0.15 + LATE_S
    assert echo.ended() == ["eof"]
    assert echo.received == b""


def test_an_idle_connection_is_closed_too(proxy: Proxy) -> None:
    """The wait begins when the connection does."""
    proxy.toxic("timeout", timeout=100)
    client = proxy.connect()
    begun = time.monotonic()
    assert client.ending() == "eof"
    assert time.monotonic() - begun >= 0.09


def test_every_chunk_starts_the_wait_afresh(proxy: Proxy) -> None:
    """A talking client is closed a timeout after its last word."""
    proxy.toxic("timeout", "upstream", timeout=250)
    client = proxy.connect()
    begun = time.monotonic()
    for _ in range(4):
        client.send(b"x")
        time.sleep(0.1)
    assert client.ending() == "eof"
    assert time.monotonic() - begun >= 0.54


def test_zero_never_closes(proxy: Proxy) -> None:
    """It only swallows."""
    proxy.toxic("timeout", timeout=0)
    client = proxy.connect()
    client.send(b"lost")
    assert client.silent_for(0.3)


def test_the_end_of_the_stream_passes(proxy: Proxy, echo: Echo) -> None:
    """A client that leaves is seen to leave."""
    proxy.toxic("timeout", "upstream", timeout=0)
    proxy.connect().close()
    assert echo.ended() == ["eof"]


def test_an_update_starts_the_wait_with_the_new_value(proxy: Proxy) -> None:
    """On open connections."""
    toxic = proxy.toxic("timeout", timeout=0)
    client = proxy.connect()
    client.send(b"lost")
    assert client.silent_for(0.1)
    proxy.update(toxic, timeout=50)
    assert client.ending() == "eof"


def test_removal_closes_every_connection_of_its_direction(proxy: Proxy) -> None:
    """Also those that the draw had spared."""
    toxic = proxy.toxic("timeout", timeout=0, toxicity=0)
    spared = proxy.connect()
    assert spared.echo() == b"ping"
    proxy.remove(toxic)
    assert spared.ending() == "eof"
    assert proxy.connect().echo() == b"ping"
