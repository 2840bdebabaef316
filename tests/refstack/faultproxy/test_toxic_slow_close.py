"""`slow_close`: what it does to the end of a connection."""

from __future__ import annotations

import time

from faultproxy_lab import LATE_S, Echo, Proxy, wait_until


def test_the_end_arrives_late_and_data_does_not(proxy: Proxy, echo: Echo) -> None:
    """The upstream hears of the client's leaving after the delay."""
    proxy.toxic("slow_close", "upstream", delay=250)
    client = proxy.connect()
    assert client.echo_s() < LATE_S
    begun = time.monotonic()
    client.close()
    echo.ended()
    assert 0.24 <= time.monotonic() - begun < 0.25 + LATE_S


def test_removal_lets_the_end_through(proxy: Proxy, echo: Echo) -> None:
    """Without waiting for the delay."""
    toxic = proxy.toxic("slow_close", "upstream", delay=60_000)
    client = proxy.connect()
    assert client.echo() == b"ping"
    client.close()
    time.sleep(0.1)
    assert echo.endings == []
    proxy.remove(toxic)
    wait_until(lambda: echo.endings == ["eof"], "the upstream to see the end")
