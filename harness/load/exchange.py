"""One HTTP exchange over a gevent socket, never repeated behind the caller's back.

geventhttpclient's own client sends an idempotent request again when a reused connection turns out
closed, which would hide exactly what a rollout test looks for. So only its parser is used here.
"""

from __future__ import annotations

import errno
import select
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import socket, ssl
from geventhttpclient.response import HTTPParseError, HTTPResponse


class Truncated(Exception):
    """The connection ended after a part of the response."""


class ClosedEarly(Exception):
    """The connection ended before the first byte of a response."""


class OutOfTime(gevent.Timeout):
    """The patience for one request ran out."""


class _Response(HTTPResponse):
    """A response parser that keeps its body."""

    def __init__(self, method: str) -> None:
        super().__init__(method=method)
        self.body = bytearray()

    def _on_body(self, buf: bytearray) -> None:
        self.body += buf


@dataclass(slots=True)
class Outcome:
    """What came of one request. ``status`` is 0 and ``error`` is set when no response came."""

    status: int = 0
    error: str | None = None
    body: bytes = b""
    response: HTTPResponse | None = None
    reused: bool = False


class Exchanger:
    """Sends prepared requests to one origin, over idle connections or always fresh ones."""

    def __init__(
        self, base_url: str, *, fresh: bool, timeout_s: float, ca_file: str | None
    ) -> None:
        url = urlsplit(base_url)
        self.host = url.hostname or ""
        self.port = url.port or (443 if url.scheme == "https" else 80)
        self.prefix = url.path.rstrip("/")
        self.authority = url.netloc
        self._fresh = fresh
        self._timeout_s = timeout_s
        self._idle: list[Any] = []
        self._context = (
            ssl.create_default_context(cafile=ca_file) if url.scheme == "https" else None
        )

    def send(self, method: str, data: bytes) -> Outcome:
        """Send ``data`` and read the response; errors come back as a kind, not as an exception.

        Kinds: ``timeout``, ``refused``, ``unreachable``, ``dns``, ``tls`` (these four: no request
        was sent), ``reset``, ``closed`` (before the first byte), ``truncated``, ``protocol``,
        ``other``.
        """
        outcome = Outcome()
        connection: Any = None
        keep = False
        try:
            with OutOfTime(self._timeout_s):
                connection, outcome.reused = self._connect()
                connection.sendall(data)
                parser = self._receive(connection, method)
                outcome.response = parser
                outcome.status = parser.status_code
                outcome.body = bytes(parser.body)
                keep = not self._fresh and not parser.should_close()
        except OutOfTime:
            outcome.error = "timeout"
        except Exception as problem:
            outcome.error = error_kind(problem, connected=connection is not None)
        finally:
            if keep:
                self._idle.append(connection)
            elif connection is not None:
                connection.close()
        return outcome

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> tuple[Any, bool]:
        while self._idle:
            connection = self._idle.pop()
            # An idle connection with something to read was closed by the server meanwhile; any
            # client would see that and connect anew.
            if not select.select([connection], [], [], 0)[0]:
                return connection, True
            connection.close()
        connection = socket.create_connection((self.host, self.port))
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                return self._context.wrap_socket(connection, server_hostname=self.host), False
        except BaseException:
            connection.close()
            raise
        return connection, False

    @staticmethod
    def _receive(connection: Any, method: str) -> _Response:
        parser = _Response(method)
        began = False
        while not parser.message_complete or parser.status_code < 200:
            data = connection.recv(65536)
            if not data and not began:
                raise ClosedEarly
            began = True
            try:
                parser.feed(data)
            except HTTPParseError as problem:
                if not data:
                    raise Truncated from problem
                raise
            if not data and not parser.message_complete:
                raise Truncated
        return parser


def error_kind(problem: BaseException, *, connected: bool) -> str:
    """Name an error by what it says about the request (see :meth:`Exchanger.send`)."""
    if isinstance(problem, ssl.SSLError):
        return "reset" if connected else "tls"
    if isinstance(problem, socket.gaierror):
        return "dns"
    if isinstance(problem, ConnectionRefusedError):
        return "refused"
    if isinstance(problem, ClosedEarly):
        return "closed"
    if isinstance(problem, Truncated):
        return "truncated"
    if isinstance(problem, HTTPParseError):
        return "protocol"
    if isinstance(problem, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return "reset"
    if isinstance(problem, OSError) and problem.errno in (
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
    ):
        return "unreachable"
    return "other"
