"""The fault proxy under load: bounded memory, no stalls, no leaks, answers within a second."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultproxy_lab import (
    Client,
    Control,
    Echo,
    Proxy,
    Server,
    black_hole,
    wait_until,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of ours with a short dial timeout."""
    started = Server("--dial-timeout", "0.5")
    yield started
    started.stop()


@pytest.fixture
def load_proxy(server: Server, echo: Echo) -> Iterator[Proxy]:
    """A proxy on that server in front of `echo`."""
    made = Proxy(Control(server.url), "load", echo.address)
    yield made
    made.control.call("DELETE", made.path)


def memory_mib(server: Server) -> float:
    """Resident memory of the server."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def open_files(server: Server) -> int:
    """Open file descriptors of the server."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def push(client: Client, most: int) -> int:
    """Send until the other side takes no more for a while; the bytes that it took."""
    client.socket.setblocking(False)
    taken, quiet_since = 0, time.monotonic()
    while taken < most and time.monotonic() - quiet_since < 0.3:
        try:
            taken += client.socket.send(b"x" * 65536)
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    client.socket.settimeout(5)
    return taken


@pytest.mark.parametrize(
    ("toxic", "most_mib"),
    [(None, 4), ("noop", 4), ("bandwidth", 4), ("latency", 48)],
)
def test_a_reader_that_does_not_read_holds_up_its_sender(
    server: Server, load_proxy: Proxy, toxic: str | None, most_mib: int
) -> None:
    """What the proxy takes in is bounded; a delay may hold 32 MiB, everything else far less."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    load_proxy.control.ok("PATCH", load_proxy.path, {"upstream": address})
    if toxic:
        attributes = {"bandwidth": {"rate": 10**6}, "latency": {"latency": 50}}.get(toxic, {})
        load_proxy.toxic(toxic, "upstream", **attributes)
    before = memory_mib(server)
    client = load_proxy.connect()
    peer, _ = listener.accept()
    taken = push(client, 200 * 2**20)
    assert taken < 100 * 2**20
    assert memory_mib(server) - before < most_mib
    received = 0
    peer.settimeout(5)
    while received < taken:
        received += len(peer.recv(2**20))
    assert received == taken
    for end in (client.socket, peer, listener):
        end.close()


def test_a_toxic_is_removed_at_once_from_a_link_whose_reader_does_not_read(
    load_proxy: Proxy,
) -> None:
    """And what it held is not lost."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    load_proxy.control.ok("PATCH", load_proxy.path, {"upstream": address})
    toxic = load_proxy.toxic("latency", "upstream", latency=50)
    client = load_proxy.connect()
    peer, _ = listener.accept()
    taken = push(client, 200 * 2**20)
    begun = time.monotonic()
    load_proxy.remove(toxic)
    assert time.monotonic() - begun < 1
    received = 0
    peer.settimeout(5)
    while received < taken:
        received += len(peer.recv(2**20))
    assert received == taken
    for end in (client.socket, peer, listener):
        end.close()


def test_a_black_holed_upstream_stalls_nobody(server: Server, load_proxy: Proxy) -> None:
    """Clients are accepted and dialled for side by side, then closed by the dial timeout."""
    with black_hole() as upstream:
        load_proxy.control.ok("PATCH", load_proxy.path, {"upstream": upstream})
        begun = time.monotonic()
        clients = [load_proxy.connect() for _ in range(6)]
        assert [client.ending() for client in clients] == ["eof"] * 6
        assert 0.45 <= time.monotonic() - begun < 2


def test_disabling_does_not_wait_for_a_dial(load_proxy: Proxy) -> None:
    """The client that waits for its upstream is closed at once."""
    with black_hole() as upstream:
        load_proxy.control.ok("PATCH", load_proxy.path, {"upstream": upstream})
        client = load_proxy.connect()
        begun = time.monotonic()
        load_proxy.control.ok("PATCH", load_proxy.path, {"enabled": False})
        assert client.ending() == "eof"
        assert time.monotonic() - begun < 0.45


def test_control_calls_answer_within_a_second_under_full_load(
    load_proxy: Proxy, echo: Echo
) -> None:
    """While 24 connections move as much as they can."""
    running = True

    def pump(client: Client) -> None:
        with contextlib.suppress(OSError):
            while running:
                client.echo(b"x" * 200_000)

    clients = [load_proxy.connect() for _ in range(24)]
    threads = [threading.Thread(target=pump, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    worst = 0.0
    for _ in range(10):
        for method, path, body in (
            ("POST", "/toxics", {"type": "latency", "attributes": {"latency": 5}}),
            ("PATCH", "/toxics/latency_downstream", {"attributes": {"latency": 9}}),
            ("GET", "", None),
            ("DELETE", "/toxics/latency_downstream", None),
        ):
            begun = time.monotonic()
            load_proxy.control.ok(method, load_proxy.path + path, body)
            worst = max(worst, time.monotonic() - begun)
    running = False
    for client in clients:
        client.close()
    for thread in threads:
        thread.join(5)
    assert worst < 1


def test_hundreds_of_proxies_and_connections_leave_nothing_behind(
    server: Server, load_proxy: Proxy, echo: Echo
) -> None:
    """Toxics reach all of them, and their files are closed in the end."""
    control = load_proxy.control
    before = open_files(server)
    entries = [
        {"name": f"many-{number}", "listen": "127.0.0.1:0", "upstream": echo.address}
        for number in range(150)
    ]
    many = control.ok("POST", "/populate", entries)["proxies"]
    # One after the other: hundreds at once would overflow the echo server's own queue of accepts.
    clients = []
    for proxy in many:
        for _ in range(2):
            clients.append(Client(proxy["listen"]))
            assert clients[-1].echo(b"a") == b"a"
    for _ in range(300):
        clients.append(load_proxy.connect())
        assert clients[-1].echo(b"a") == b"a"
    for proxy in many:
        body = {"type": "limit_data", "attributes": {"bytes": 1}}
        control.ok("POST", f"/proxies/{proxy['name']}/toxics", body)
    load_proxy.toxic("limit_data", bytes=1)
    for client in clients:
        client.send(b"bc")
    assert all(client.receive(2) == b"b" for client in clients)
    for proxy in many:
        control.ok("DELETE", f"/proxies/{proxy['name']}")
    for client in clients:
        client.close()
    wait_until(lambda: open_files(server) <= before + 2, "the server to close its files")
