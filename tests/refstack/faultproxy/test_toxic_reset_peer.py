"""`reset_peer`: what it does to connections, measured through an echo server."""

from __future__ import annotations

import time

from faultproxy_lab import LATE_S, Echo, Proxy


def test_both_sides_get_a_real_reset(proxy: Proxy, echo: Echo) -> None:
    """An RST, not a FIN, on connections that began with it."""
    proxy.toxic("reset_peer", timeout=0)
    client = proxy.connect()
    client.send(b"x")
    assert client.ending() == "reset"
    assert echo.ended() == ["reset"]


def test_it_waits_for_data_then_for_the_timeout(proxy: Proxy) -> None:
    """And drops what it saw."""
    proxy.toxic("reset_peer", "upstream", timeout=200)
    client = proxy.connect()
    assert client.silent_for(0.3)
    begun = time.monotonic()
    client.send(b"x")
    assert client.ending() == "reset"
    assert 0.2 <= time.monotonic() - begun < 0.2 + LATE_S


def test_a_connection_that_began_before_gets_a_fin(proxy: Proxy, echo: Echo) -> None:
    """Its sockets were set up without the toxic."""
    client = proxy.connect()
    assert client.echo() == b"ping"
    proxy.toxic("reset_peer", timeout=0)
    client.send(b"x")
    assert client.ending() == "eof"


def test_a_spared_connection_is_closed_hard_as_well(proxy: Proxy, echo: Echo) -> None:
    """Toxicity does not decide how a connection ends, only whether it is reset."""
    proxy.toxic("reset_peer", timeout=0, toxicity=0)
    client = proxy.connect()
    assert client.echo() == b"ping"
    proxy.control.ok("PATCH", proxy.path, {"enabled": False})
    assert client.ending() == "reset"
    assert echo.ended() == ["reset"]


def test_removal_ends_the_wait_of_doomed_connections(ours: None, proxy: Proxy) -> None:
    """Data is missing from them, so they must not live on; others do."""
    toxic = proxy.toxic("reset_peer", timeout=60_000)
    doomed, idle = proxy.connect(), proxy.connect()
    doomed.send(b"x")
    assert doomed.silent_for(0.1)
    proxy.remove(toxic)
    assert doomed.ending() == "reset"
    assert idle.echo() == b"ping"
