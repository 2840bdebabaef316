"""The requests of one connection that still wait for their response."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from refstack.faultproxy.http.messages import Head, NotHttp, Reader, request_framing

MOST_WAITING = 1024
"""Requests sent ahead of their responses (pipelined); beyond it the count is given up."""

_REQUEST_LINE = re.compile(rb"[A-Z]{1,32} \S+ HTTP/1\.[01]\r\n|[A-Z]{1,32}( \S*( [HTP/.01]*)?)?\Z")


@dataclass(frozen=True)
class Request:
    """What of a request decides about its response."""

    method: bytes
    target: bytes


class Requests:
    """Reads requests as they pass; `waiting` holds those without a response, oldest first.

    It can begin in the middle of a connection: it waits for bytes that open with a request line.
    """

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()
        self._reader: Reader | None = None

    def see(self, data: bytes) -> None:
        """Look at bytes on their way to the server."""
        if self._reader is None:
            if not _REQUEST_LINE.match(data):
                return
            self._reader = Reader(request_framing)
        try:
            for event in self._reader.feed(data):
                if isinstance(event, Head):
                    self._begin(event)
        except NotHttp:
            self.forget()

    def forget(self) -> None:
        """Start over: it is no longer known which response belongs to which request."""
        self.waiting.clear()
        self._reader = None

    def _begin(self, head: Head) -> None:
        method, _, rest = head.first_line.partition(b" ")
        target, _, version = rest.rpartition(b" ")
        if not version.startswith(b"HTTP/1.") or len(self.waiting) >= MOST_WAITING:
            raise NotHttp("no request line, or too many requests at once")
        self.waiting.append(Request(method, target))
