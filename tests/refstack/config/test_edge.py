"""The shipped nginx configuration, asked over real connections in front of a talkative upstream."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.drivers.embedded.nginx import Edge

HOST = "127.0.0.1"


class Upstream(ThreadingHTTPServer):
    """Answers every request with what it got, and says which colour it is."""

    daemon_threads = True

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.connections = 0
        super().__init__((HOST, 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        status = 503 if self.path.startswith("/fails") else 200
        names = [(name.lower(), value) for name, value in self.headers.items()]
        body = json.dumps({"headers": names, "path": self.path, "length": length}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Gateway-Colour", self.server.colour)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Quiet."""


def command_line(pid: int) -> bytes:
    """What a process calls itself, empty once it is gone; nginx adds what its worker is doing."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0"
    except (FileNotFoundError, ProcessLookupError):
        return b""


@dataclass
class Running:
    """A running edge with what it logged."""

    edge: Edge
    process: subprocess.Popen[bytes]
    log: Path
    blue: Upstream
    green: Upstream
    open: list[HTTPConnection] = field(default_factory=list)

    def connect(self) -> HTTPConnection:
        connection = HTTPConnection(HOST, self.edge.port, timeout=10)
        self.open.append(connection)
        return connection

    def ask(
        self,
        path: str = "/x",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        connection: HTTPConnection | None = None,
    ) -> tuple[int, dict[str, str], Any]:
        used = connection or self.connect()
        used.request(method, path, body=body, headers=headers or {})
        response = used.getresponse()
        content = response.read()
        named = {name.lower(): value for name, value in response.getheaders()}
        return response.status, named, json.loads(content)

    def seen_by_upstream(self, headers: dict[str, str]) -> dict[str, str]:
        return dict(self.ask(headers=headers)[2]["headers"])

    def switch(self, port: int, until: Callable[[int, dict[str, str]], bool]) -> None:
        """Reload; returns once ten fresh connections in a row got what was asked for, and the
        workers before it accept no more: on a busy machine one of them may take a late one."""
        before = self.workers()
        self.edge.write(port)
        self.process.send_signal(signal.SIGHUP)
        deadline, in_a_row = time.monotonic() + 15, 0
        while in_a_row < 10:
            assert time.monotonic() < deadline, "the reload took no effect"
            status, headers, _ = self.ask()
            in_a_row = in_a_row + 1 if until(status, headers) else 0
        while accepting := [pid for pid in before if b"worker process\0" in command_line(pid)]:
            assert time.monotonic() < deadline, f"workers {accepting} were never told to end"
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """The processes that nginx's own one has started."""
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def back_to_blue(self) -> None:
        self.switch(self.blue.port, lambda _, headers: headers.get("x-gateway-colour") == "blue")

    def access_log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("edge of") / "a place with spaces"
    blue, green = Upstream("blue"), Upstream("green")
    with socket.socket() as free:
        free.bind((HOST, 0))
        edge = Edge(place, free.getsockname()[1])
    edge.write(blue.port)
    log = place / "edge.log"
    with log.open("ab") as output:
        process = subprocess.Popen(edge.command(), cwd=place, stdout=output, stderr=output)
    made = Running(edge, process, log, blue, green)
    deadline = time.monotonic() + 10
    while True:
        try:
            made.ask()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
    yield made
    for connection in made.open:
        connection.close()
    process.terminate()
    process.wait(10)
    blue.shutdown()
    green.shutdown()


@pytest.mark.parametrize(
    "name",
    [
        *("X-Tenant", "X-Tenant-Id", "x-tenant-ID", "X-User", "X-User-Id", "X-Persona"),
        *("X-Forwarded-User", "X-Forwarded-Email", "X-Remote-User", "X-Auth-Request-User"),
        *("X-Consumer-Id", "X-Real-IP", "Forwarded", "X_Tenant_Id"),
    ],
)
def test_a_header_that_claims_an_identity_does_not_pass(running: Running, name: str) -> None:
    seen = running.seen_by_upstream({name: "evil"})
    assert "evil" not in seen.values()


def test_where_a_request_came_from_is_what_the_edge_saw(running: Running) -> None:
    seen = running.seen_by_upstream(
        {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "gopher"}
    )
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == (HOST, "http")


@pytest.mark.parametrize("name", ["Authorization", "X-Embed-Canary", "Content-Type"])
def test_what_the_gateway_needs_passes(running: Running, name: str) -> None:
    assert running.seen_by_upstream({name: "value-1"})[name.lower()] == "value-1"


def test_a_sane_request_id_is_taken_over(running: Running) -> None:
    assert running.seen_by_upstream({"X-Request-Id": "abc-1.2_3"})["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("given", ["", "a b", 'x"y', "<script>"])
def test_another_request_id_is_replaced(running: Running, given: str) -> None:
    seen = running.seen_by_upstream({"X-Request-Id": given})["x-request-id"]
    assert seen != given and len(seen) == 32


def test_connections_are_kept_on_both_sides(running: Running) -> None:
    connection = running.connect()
    running.ask(connection=connection)
    before = running.blue.connections
    for _ in range(5):
        running.ask(connection=connection)
    assert running.blue.connections == before
    assert connection.sock is not None, "the client's connection is still open"


def test_the_log_is_json_without_query_or_token(running: Running) -> None:
    running.ask("/logged?text=planted-in-query", headers={"Authorization": "Bearer planted-token"})
    lines = [line for line in running.access_log() if line["path"] == "/logged"]
    assert len(lines) == 1
    assert (lines[0]["status"], lines[0]["method"], lines[0]["colour"]) == (200, "GET", "blue")
    assert "planted" not in running.log.read_text()


def test_a_failing_upstream_leaves_no_request_line_in_the_log(running: Running) -> None:
    try:
        running.switch(1, lambda status, _: status == 502)
        _, headers, problem = running.ask("/down?text=planted-too")
    finally:
        running.back_to_blue()
    assert headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["trace_id"]) == (502, headers["x-request-id"])
    assert "planted" not in running.log.read_text()


def test_the_gateways_own_errors_pass_unchanged(running: Running) -> None:
    status, headers, body = running.ask("/fails")
    assert (status, headers["content-type"], body["path"]) == (503, "application/json", "/fails")


def test_a_body_over_the_limit_is_refused_with_a_problem(running: Running) -> None:
    status, headers, problem = running.ask(
        "/v1/documents", "POST", {"Content-Length": str(17 * 1024 * 1024)}
    )
    assert (status, problem["status"]) == (413, 413)
    assert headers["content-type"] == "application/problem+json"


def test_a_body_of_a_few_megabytes_passes(running: Running) -> None:
    assert running.ask("/v1/documents", "POST", body=b"x" * 4_000_000)[2]["length"] == 4_000_000


def test_metrics_are_not_for_clients(running: Running) -> None:
    assert running.ask("/metrics")[0] == 404


def test_no_version_is_given_away(running: Running) -> None:
    assert running.ask()[1]["server"] == "nginx" or "/" not in running.ask()[1]["server"]
    assert running.ask("/metrics")[1]["server"] == "nginx"


def test_a_switch_under_load_fails_no_request_and_reaches_old_connections(running: Running) -> None:
    stop, seen, failed = threading.Event(), set[str](), []

    def keep_asking(fresh: bool) -> None:
        connection = running.connect()
        while not stop.is_set():
            try:
                status, headers, _ = running.ask(
                    "/v1/query", "POST", body=b"{}", connection=None if fresh else connection
                )
                seen.add(headers["x-gateway-colour"])
                if status != 200:
                    failed.append(status)
            except Exception as error:
                failed.append(repr(error))
                connection = running.connect()

    threads = [threading.Thread(target=keep_asking, args=(fresh,)) for fresh in (False, True)]
    try:
        for thread in threads:
            thread.start()
        running.switch(
            running.green.port, lambda _, headers: headers.get("x-gateway-colour") == "green"
        )
        # What was on its way at the switch may still be answered by blue.
        time.sleep(0.2)
        seen.clear()
        time.sleep(0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
        running.back_to_blue()
    assert failed == []
    assert seen == {"green"}


def test_a_broken_configuration_leaves_the_old_one_serving(running: Running) -> None:
    sound = running.edge.config.read_text()
    running.edge.config.write_text("nonsense;")
    running.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    try:
        assert running.ask()[0] == 200
    finally:
        running.edge.config.write_text(sound)
