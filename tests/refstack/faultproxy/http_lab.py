"""What the tests of the HTTP toxics share: an upstream that answers as it is told, a client."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

from faultproxy_lab import PATIENCE_S, Control, Proxy

VECTORS = {"object": "list", "data": [{"embedding": [0.5, 0.25, 0.75], "index": 0}], "model": "m"}
PACKED = {"data": [{"embedding": base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()}]}
TEI = [{"index": 2, "score": 0.9}, {"index": 0, "score": 0.5}, {"index": 1, "score": 0.1}]
COHERE = {"id": "x", "results": [{"index": e["index"], "relevance_score": e["score"]} for e in TEI]}
RATED = [
    "http_status",
    "http_malformed_json",
    "http_embedding_dimension",
    "http_embedding_nan",
    "http_embedding_space",
    "http_rerank_permuted",
    "http_rerank_missing",
    "http_stale",
    "http_duplicate",
]
"""Every HTTP toxic."""


class Upstream:
    """Answers the nth request on any connection with the nth of `answers`; the last one repeats.

    An answer is written as it is; at `<PAUSE>` in it the rest waits until `go_on` is set.
    """

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.go_on = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._speak, args=(peer,), daemon=True).start()

    def _speak(self, peer: socket.socket) -> None:
        # A client that goes away in the middle of an answer ends its connection only.
        with contextlib.suppress(OSError):
            self._serve(peer)

    def _serve(self, peer: socket.socket) -> None:
        held = b""
        with peer:
            while True:
                while b"\r\n\r\n" not in held:
                    data = peer.recv(65536)
                    if not data:
                        return
                    held += data
                head, _, held = held.partition(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                while len(held) < length:
                    held += peer.recv(65536)
                held = held[length:]
                answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
                self.requests.append(head)
                first, pause, second = answer.partition(b"<PAUSE>")
                peer.sendall(first)
                if pause:
                    assert self.go_on.wait(PATIENCE_S)
                    peer.sendall(second)
                if b"connection: close" in answer.lower():
                    return

    def close(self) -> None:
        """Stop accepting."""
        self.listener.close()


def answer(body: bytes, content_type: str = "application/json", *more: str) -> bytes:
    """A response with a length."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}", *more]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def in_chunks(body: bytes, *parts: int) -> bytes:
    """A response in chunks of the given sizes, the rest in one more, and a trailer."""
    sent = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for size in (*parts, len(body)):
        part, body = body[:size], body[size:]
        if part:
            sent += b"%x;note=1\r\n%s\r\n" % (len(part), part)
    return sent + b"0\r\nChecked: yes\r\n\r\n"


def as_json(value: Any, *more: str) -> bytes:
    """A response with a JSON body."""
    return answer(json.dumps(value).encode(), "application/json", *more)


class Browser:
    """One keep-alive connection through a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        host, _, port = proxy.listen.rpartition(":")
        self.http = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        self.http.connect()
        self._first = self.http.sock

    def get(self, target: str = "/", method: str = "GET", body: Any = None) -> tuple[int, bytes]:
        """Status and body of one request on this connection."""
        status, _, body = self.whole(target, method, body)
        return status, body

    def whole(
        self, target: str = "/", method: str = "GET", body: Any = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields in lower case and body."""
        self.http.request(method, target, body)
        response = self.http.getresponse()
        read = response.read()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return response.status, fields, read

    @property
    def same_connection(self) -> bool:
        """Whether the connection is still the first one."""
        return self.http.sock is self._first


class Site:
    """An upstream with a proxy in front of it."""

    def __init__(self, control: Control, name: str, *answers: bytes) -> None:
        self.upstream = Upstream(*answers)
        self.proxy = Proxy(control, name, self.upstream.address)

    def browser(self) -> Browser:
        """A new connection."""
        return Browser(self.proxy)

    def close(self) -> None:
        """Take both away."""
        self.proxy.control.call("DELETE", self.proxy.path)
        self.upstream.close()


def ranking(body: bytes) -> list[dict[str, Any]]:
    """The scored indexes of an answer."""
    answer = json.loads(body)
    found: list[dict[str, Any]] = answer["results"] if isinstance(answer, dict) else answer
    return found


Make = Callable[..., Site]
"""What the fixture `site` gives."""
