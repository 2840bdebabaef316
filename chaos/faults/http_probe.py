"""Independent look at an HTTP link: whole exchanges, as the link's user would have them."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import TargetError
from harness.drivers.base import Link, Stack

TIMEOUT_S = 5.0
ID_HEADER = "x-request-id"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5]\d\d ")


@dataclass(frozen=True)
class Answer:
    """One response; ``status`` 0 when none came. ``asked_as`` is the request id that was sent."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    asked_as: str = ""

    def json(self) -> Any:
        """The body as JSON, NaN included; ``None`` when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class Ask:
    """A request: method, path, JSON body, credential."""

    path: str
    method: str = "GET"
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Line:
    """A keep-alive connection to one address; a broken one is opened again by the next request."""

    def __init__(self, host: str, port: int) -> None:
        self._http = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def answers_to(self, *asked: Ask) -> int:
        """Send these requests (without bodies) ahead on a fresh connection; how many answers come.

        The last one asks for the connection to be closed, so the count is complete at its end.
        """
        sent = b"".join(
            f"{what.method} {what.path} HTTP/1.1\r\nHost: probe\r\n{ending}\r\n".encode()
            for what, ending in zip(
                asked, [*[""] * (len(asked) - 1), "Connection: close\r\n"], strict=True
            )
        )
        received = b""
        try:
            with socket.create_connection((self._http.host, self._http.port), TIMEOUT_S) as raw:
                raw.sendall(sent)
                while data := raw.recv(65536):
                    received += data
        except OSError:
            return 0
        return len(_STATUS_LINE.findall(received))

    def ask(self, what: Ask) -> Answer:
        """Send one request and read its answer; a connection that breaks gives status 0."""
        asked_as = secrets.token_hex(8)
        headers = {ID_HEADER: asked_as, "User-Agent": "ragdrill-probe", **what.headers}
        body = None
        if what.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(what.body)
        try:
            self._http.request(what.method, what.path, body, headers)
            response = self._http.getresponse()
            read = response.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            return Answer(0, asked_as=asked_as)
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, read, asked_as)


def line_through(link: Link) -> Line:
    """A connection through the fault proxy."""
    return Line(link.host, link.port)


def line_past(link: Link) -> Line:
    """A connection straight to the link's target."""
    host, _, port = link.upstream.rpartition(":")
    return Line(host, int(port))


def bearer(stack: Stack, role: str) -> dict[str, str]:
    """The header with the role's API key; empty for a role without one."""
    key = stack.credentials(role).get("api_key", "")
    return {"Authorization": f"Bearer {key}"} if key else {}


def json_path(target: str) -> str:
    """A path at which a role answers with JSON and without a credential."""
    return {
        "auth": "/health",
        "vectordb": "/",
        "metrics": "/api/v1/status/buildinfo",
        "alerts": "/api/v2/status",
    }.get(target, "/healthz")


def embedding_ask(stack: Stack, line: Line, role: str) -> Ask:
    """A small request for an embedding by the first model that the role offers.

    Raises:
        TargetError: the role does not list a model (OpenAI's ``GET /v1/models``).
    """
    key = bearer(stack, role)
    listed = line.ask(Ask("/v1/models", headers=key))
    offered = listed.json()
    try:
        model = offered["data"][0]["id"]
    except (TypeError, KeyError, IndexError):
        raise TargetError(
            f"The role {role!r} lists no embedding model.",
            expected="GET /v1/models with data[0].id",
            actual=f"{listed.status}: {listed.body[:200]!r}",
        ) from None
    body = {"input": "how long does a restore take", "model": model, "encoding_format": "float"}
    return Ask("/v1/embeddings", "POST", body, key)


def rerank_ask(stack: Stack, role: str) -> Ask:
    """A small request for a ranking of four texts that differ in how well they fit."""
    texts = [
        "A restore takes an hour.",
        "Bananas are yellow.",
        "How long a restore takes depends on the size of the snapshot.",
        "The moon is far away.",
    ]
    body = {"query": "how long does a restore take", "texts": texts}
    return Ask("/rerank", "POST", body, bearer(stack, role))
