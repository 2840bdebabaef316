"""`packet_loss`: what it does to data, measured through an echo server."""

from __future__ import annotations

import time

import pytest
from faultproxy_lab import Echo, Proxy

pytestmark = pytest.mark.usefixtures("ours")  # it came to the original after 2.12.0


def test_zero_loses_nothing_and_one_everything(proxy: Proxy) -> None:
    """Values beyond are taken as the nearest."""
    toxic = proxy.toxic("packet_loss", loss_rate=-3)
    client = proxy.connect()
    assert client.echo() == b"ping"
    proxy.update(toxic, loss_rate=7)
    client.send(b"lost")
    assert client.silent_for(0.1)
    proxy.update(toxic, loss_rate=0)
    assert client.echo() == b"ping"


def test_half_loses_about_half_of_the_chunks(proxy: Proxy, echo: Echo) -> None:
    """Whole chunks, drawn one by one: 4 standard deviations round 50 of 100."""
    proxy.toxic("packet_loss", "upstream", loss_rate=0.5)
    echo.answering = False
    client = proxy.connect()
    for _ in range(100):
        client.send(b"x")
        time.sleep(0.002)
    time.sleep(0.05)
    assert 30 <= len(echo.received) <= 70


def test_correlation_keeps_a_burst_going(proxy: Proxy, echo: Echo) -> None:
    """With correlation 1 nothing passes after the first loss."""
    proxy.toxic("packet_loss", "upstream", loss_rate=0.5, correlation=1)
    echo.answering = False
    client = proxy.connect()
    for number in range(60):
        client.send(bytes([number]))
        time.sleep(0.002)
    time.sleep(0.05)
    assert bytes(echo.received) == bytes(range(len(echo.received)))
    assert len(echo.received) < 40


def test_the_end_of_the_stream_waits_for_removal(proxy: Proxy, echo: Echo) -> None:
    """It is not passed on while the toxic is there."""
    toxic = proxy.toxic("packet_loss", "upstream", loss_rate=0)
    client = proxy.connect()
    assert client.echo() == b"ping"
    client.close()
    time.sleep(0.1)
    assert echo.endings == []
    proxy.remove(toxic)
    assert echo.ended() == ["eof"]
