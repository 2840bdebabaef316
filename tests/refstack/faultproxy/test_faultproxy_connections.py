"""Connections through a proxy, black box: opening, ending, toxicity, changes under way, metrics."""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time

import pytest
from faultproxy_lab import LATE_S, Control, Echo, Proxy, refusing_address, wait_until


def test_disabling_ends_open_connections_and_refuses_new_ones(proxy: Proxy, echo: Echo) -> None:
    """Both legs end; enabling listens at the same address again."""
    client = proxy.connect()
    assert client.echo() == b"ping"
    proxy.control.ok("PATCH", proxy.path, {"enabled": False})
    assert client.ending() == "eof"
    assert echo.ended() == ["eof"]
    with pytest.raises(ConnectionRefusedError):
        proxy.connect()
    shown = proxy.control.ok("PATCH", proxy.path, {"enabled": True})
    assert shown["listen"] == proxy.listen
    assert proxy.connect().echo() == b"ping"


def test_deleting_ends_open_connections(proxy: Proxy) -> None:
    """As disabling does."""
    client = proxy.connect()
    assert client.echo() == b"ping"
    proxy.control.ok("DELETE", proxy.path)
    assert client.ending() == "eof"


def test_another_upstream_ends_open_connections_and_serves_new_ones(proxy: Proxy) -> None:
    """The toxics stay on."""
    proxy.toxic("latency", latency=50)
    client = proxy.connect()
    assert client.echo() == b"ping"
    other = Echo()
    proxy.control.ok("PATCH", proxy.path, {"upstream": other.address})
    assert client.ending() == "eof"
    assert proxy.connect().echo_s() >= 0.05
    assert other.received == b"ping"
    other.close()


def test_an_upstream_that_refuses_is_an_accept_and_a_close(proxy: Proxy) -> None:
    """A client sees its connection come and go."""
    with refusing_address() as upstream:
        proxy.control.ok("PATCH", proxy.path, {"upstream": upstream})
        assert proxy.connect().ending() == "eof"


def test_an_upstream_by_name_is_found(proxy: Proxy, echo: Echo) -> None:
    """Names are looked up for each connection."""
    port = echo.address.rpartition(":")[2]
    proxy.control.ok("PATCH", proxy.path, {"upstream": f"localhost:{port}"})
    assert proxy.connect().echo() == b"ping"


def test_half_closing_ends_both_directions(proxy: Proxy, echo: Echo) -> None:
    """There is no half-close: nothing comes back after the client's end of stream."""
    client = proxy.connect()
    assert client.echo() == b"ping"
    client.socket.shutdown(socket.SHUT_WR)
    assert client.ending() == "eof"
    echo.ended()


def test_everything_sent_before_the_upstreams_close_arrives(proxy: Proxy) -> None:
    """However slowly the client reads."""
    data = os.urandom(3_000_000)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    proxy.control.ok("PATCH", proxy.path, {"upstream": address})
    proxy.toxic("latency", latency=20)
    client = proxy.connect()
    time.sleep(0.1)
    assert client.receive(len(data)) == data
    assert client.ending() == "eof"
    thread.join(5)
    listener.close()


def test_toxicity_is_the_share_of_connections(proxy: Proxy) -> None:
    """One draw a connection: 64 of them at 0.5 lie within 4 standard deviations of 32."""
    proxy.toxic("limit_data", "upstream", bytes=0, toxicity=0.5)
    spared = sum(proxy.connect().echo() == b"ping" for _ in range(64))
    assert 16 <= spared <= 48


def test_the_draw_holds_for_the_life_of_a_connection(proxy: Proxy) -> None:
    """A spared connection stays spared until something changes."""
    toxic = proxy.toxic("latency", latency=30_000, toxicity=0)
    client = proxy.connect()
    for _ in range(20):
        assert client.echo() == b"ping"
    proxy.update(toxic, toxicity=1)
    client.send(b"held")
    assert client.silent_for(0.1)


def test_toxics_act_in_the_order_they_were_added(proxy: Proxy, echo: Echo) -> None:
    """A limit before a delay ends the connection after the delay; data before it arrives."""
    proxy.toxic("limit_data", "upstream", name="first", bytes=4)
    proxy.toxic("latency", "upstream", name="second", latency=150)
    client = proxy.connect()
    begun = time.monotonic()
    client.send(b"123456")
    echo.ended()
    assert 0.15 <= time.monotonic() - begun < 0.15 + LATE_S
    assert echo.received == b"1234"


def test_toxics_come_and_go_on_open_connections_without_harm(proxy: Proxy) -> None:
    """Every byte arrives once and in order while toxics that lose nothing are changed at random."""
    chooser = random.Random(7)
    size = 2_000_000
    sent = [os.urandom(size) for _ in range(3)]
    clients = [proxy.connect() for _ in sent]
    received: dict[int, bytes] = {}

    def read(index: int) -> None:
        received[index] = clients[index].receive(size)

    def write(index: int) -> None:
        for begin in range(0, size, 50_000):
            clients[index].send(sent[index][begin : begin + 50_000])
            time.sleep(0.01)

    threads = [
        threading.Thread(target=act, args=(index,), daemon=True)
        for index in range(len(sent))
        for act in (read, write)
    ]
    for thread in threads:
        thread.start()
    kinds = [
        ("noop", {}),
        ("latency", {"latency": 15, "jitter": 10}),
        ("bandwidth", {"rate": 5000}),
        ("slicer", {"average_size": 2000, "size_variation": 500, "delay": 20}),
        ("slow_close", {"delay": 5}),
    ]
    present: list[str] = []
    changes = 0
    while changes < 40 or (any(thread.is_alive() for thread in threads) and changes < 90):
        changes += 1
        if present and chooser.random() < 0.45:
            proxy.remove(present.pop(chooser.randrange(len(present))))
        elif present and chooser.random() < 0.3:
            proxy.update(chooser.choice(present), toxicity=chooser.random())
        elif len(present) < 4:
            kind, attributes = chooser.choice(kinds)
            stream = chooser.choice(["upstream", "downstream"])
            present.append(proxy.toxic(kind, stream, name=f"t{changes}", **attributes))
        time.sleep(0.01)
    proxy.control.ok("POST", "/reset")
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert [received[index] == data for index, data in enumerate(sent)] == [True] * len(sent)


def test_bytes_are_counted_when_a_connection_ends(control: Control, proxy: Proxy) -> None:
    """Per direction, with the names of the proxy and its two ends."""
    if control.call("GET", "/metrics").status_code == 404:
        pytest.skip("metrics are not switched on in the server under test")
    client = proxy.connect()
    assert client.echo(b"x" * 1000) == b"x" * 1000

    def counted() -> dict[tuple[str, str], float]:
        found = re.findall(
            r"toxiproxy_proxy_(\w+)_bytes_total\{([^}]*)\} (\S+)",
            control.call("GET", "/metrics").text,
        )
        return {
            (kind, match[1]): float(count)
            for kind, labels, count in found
            if f'proxy="{proxy.name}"' in labels
            and f'listener="{proxy.listen}"' in labels
            and (match := re.search(r'direction="(\w+)"', labels))
        }

    assert counted() == {}
    client.close()
    wait_until(lambda: len(counted()) == 4, "four counters")
    assert counted() == {
        (kind, direction): 1000.0
        for kind in ("received", "sent")
        for direction in ("upstream", "downstream")
    }


def test_a_toxic_starts_afresh_when_the_next_one_comes_or_goes(proxy: Proxy) -> None:
    """It lets go of the chunk in hand, as at an update; a change further on leaves it alone."""
    proxy.toxic("latency", name="first", latency=60_000)
    client = proxy.connect()
    client.send(b"1")
    assert client.silent_for(0.1)
    second = proxy.toxic("noop", name="second")
    assert client.receive(1) == b"1"
    client.send(b"2")
    assert client.silent_for(0.1)
    third = proxy.toxic("noop", name="third")
    assert client.silent_for(0.1)
    proxy.remove(third)
    assert client.silent_for(0.1)
    proxy.remove(second)
    assert client.receive(1) == b"2"
