"""What the fault proxy's tests share: the server under test, an echo upstream, a control client."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx

PATIENCE_S = 5.0
"""The longest that any one wait of these tests may last."""

LATE_S = 1.0
"""How much later than asked a thing may happen on a busy machine and still count as in time."""


class Server:
    """A fault proxy process of ours, ended by its process id."""

    def __init__(self, *options: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "refstack.faultproxy", "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        assert self.process.stdout is not None
        self.url = ""
        self.log: list[dict[str, Any]] = []
        for line in self.process.stdout:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == "listening":
                self.url = f"http://{self.log[-1]['host']}:{self.log[-1]['port']}"
                break
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(json.loads(line))

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(PATIENCE_S)


class Control:
    """The HTTP API of a server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_S)

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One call; `body` is sent as JSON unless it is bytes or None."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.request(method, path, content=content)

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """One call that must succeed; the JSON of its answer, None without a body."""
        answer = self.call(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


class Proxy:
    """A proxy made for one test."""

    def __init__(self, control: Control, name: str, upstream: str) -> None:
        self.control = control
        self.name = name
        self.path = f"/proxies/{name}"
        body = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream}
        self.listen = control.ok("POST", "/proxies", body)["listen"]

    def toxic(self, type_name: str, stream: str = "downstream", **more: Any) -> str:
        """Add a toxic; `toxicity` and `name` apart, `more` are its attributes. Its path."""
        body = {"type": type_name, "stream": stream}
        for key in ("toxicity", "name"):
            if key in more:
                body[key] = more.pop(key)
        shown = self.control.ok("POST", f"{self.path}/toxics", {**body, "attributes": more})
        return f"{self.path}/toxics/{shown['name']}"

    def update(self, toxic: str, toxicity: float | None = None, **attributes: int) -> None:
        """Change a toxic."""
        body: dict[str, Any] = {"attributes": attributes}
        if toxicity is not None:
            body["toxicity"] = toxicity
        self.control.ok("PATCH", toxic, body)

    def remove(self, toxic: str) -> None:
        """Take a toxic off."""
        self.control.ok("DELETE", toxic)

    def connect(self) -> Client:
        """A new connection through the proxy."""
        return Client(self.listen)


class Client:
    """A client's side of a connection."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send everything."""
        self.socket.sendall(data)

    def receive(self, count: int) -> bytes:
        """Exactly `count` bytes, or fewer if the connection ends before."""
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                break
            parts += part
        return bytes(parts)

    def echo(self, data: bytes = b"ping") -> bytes:
        """Send and read back as much."""
        self.send(data)
        return self.receive(len(data))

    def echo_s(self, data: bytes = b"ping") -> float:
        """Seconds that an echo takes."""
        begun = time.monotonic()
        assert self.echo(data) == data
        return time.monotonic() - begun

    def silent_for(self, seconds: float) -> bool:
        """Whether nothing, no end of stream either, arrives for a while."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE_S)
        return False

    def ending(self) -> str:
        """Read to the end: `eof` for a FIN, `reset` for an RST; more data is not expected."""
        try:
            return "eof" if self.socket.recv(65536) == b"" else "data"
        except ConnectionResetError:
            return "reset"

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class Echo:
    """An upstream that sends back what it gets and keeps how each connection went."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.endings: list[str] = []
        self.received = bytearray()
        self.reads: list[int] = []
        self.answering = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        ending = "eof"
        try:
            while data := peer.recv(65536):
                self.received += data
                self.reads.append(len(data))
                if self.answering:
                    peer.sendall(data)
        except OSError:
            ending = "reset"
        self.endings.append(ending)
        peer.close()

    def ended(self, count: int = 1) -> list[str]:
        """How the connections so far ended, once there are `count` of them."""
        wait_until(lambda: len(self.endings) >= count, f"{count} ended connections")
        return self.endings

    def close(self) -> None:
        """Stop accepting."""
        self.listener.close()


def wait_until(met: Any, what: str) -> None:
    """Wait for a condition; fails with `what` when it does not come true in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s in vain for {what}"
        time.sleep(0.005)


@contextlib.contextmanager
def refusing_address() -> Iterator[str]:
    """An address that is bound but does not listen, so it refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """An address that never answers: a listener whose queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        time.sleep(0.05)
        yield f"127.0.0.1:{address[1]}"
