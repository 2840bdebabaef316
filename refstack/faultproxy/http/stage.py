"""Common ground of the HTTP toxics: whole responses are seen, and some are replaced.

Bytes that concern no toxic pass as they came, without waiting. The requests on the other
direction are watched, because only they tell where a response to HEAD ends.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from refstack.faultproxy.http.messages import (
    Data,
    End,
    Framing,
    Head,
    NotHttp,
    Reader,
    response_framing,
    status_of,
)
from refstack.faultproxy.http.requests import Request, Requests
from refstack.faultproxy.toxics.base import Chunk, Outlet, Place, Stage

MOST_BODY_BYTES = 4 * 1024 * 1024
"""The largest body, as sent, that is held back to be changed; a larger one passes unchanged."""


OPENING = b"HTTP/1."
"""How every response begins."""


def check_rate(rate: float) -> None:
    """Refuse a rate that is no probability."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be from 0 to 1 (share of responses), got {rate}")


@dataclass(frozen=True)
class Exchange:
    """A request and the head of the response to it; `connection_closes` after that response."""

    request: Request
    head: Head
    connection_closes: bool

    @property
    def status(self) -> int:
        """The status of the response."""
        return status_of(self.head)


class _Doing(enum.Enum):
    PASSING = "passing"
    HOLDING = "holding"
    DISCARDING = "discarding"


class HttpStage(Stage):
    """A toxic that acts on responses, each with probability `settings.rate`.

    A subclass overrides `concerns` and one of `instead` and `changed`. One number is drawn for each
    response that concerns it, from the link's own seeded stream. Added to an open connection it
    begins with the next request.
    """

    only_stream: ClassVar[str | None] = "downstream"

    def placed(self, place: Place) -> None:
        """Watch the requests."""
        self._requests = Requests()
        self._reader: Reader | None = None
        self._doing = _Doing.PASSING
        self._exchange: Exchange | None = None
        self._wire = bytearray()
        self._payload = bytearray()
        self._place = place
        place.watch_other_direction(self._see_request)

    # What a toxic type overrides.

    def concerns(self, exchange: Exchange) -> bool:
        """Whether the toxic could act on this response."""
        return True

    def always_sees(self) -> bool:
        """Whether the bodies of the responses that it leaves alone are seen by `changed` too."""
        return False

    def instead(self, exchange: Exchange) -> bytes | None:
        """What to send as soon as the response begins, instead of it."""
        return None

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """What to send in place of the whole response, None to leave it.

        `wire` is the response as sent, `body` its payload; `hit` is False only for responses that
        the draw spared, shown because of `always_sees`.
        """
        return None

    # The side that the link drives.

    def begin(self, now: float) -> None:
        """Bytes may have passed unseen: wait for a request to know where a response begins."""
        if not self.committed():
            self._reader = None
            self._requests.forget()

    def step(self, out: Outlet, now: float) -> bool:
        """Read responses; the end of the stream ends one that has no length."""
        moved = False
        while self.inbox and out.room() and not self.closed:
            self._take(self.inbox.popleft(), out)
            moved = True
        if self.closed:
            return True
        if self.input_over and not self.inbox:
            self._stream_over(out, now)
            self.close(out)
            return True
        return moved

    def interrupt(self, out: Outlet) -> None:
        """Let what is held go on unchanged; a response that was replaced stays replaced."""
        if not self.committed():
            self._give_up(out, 0.0)

    def committed(self) -> bool:
        """Whether the rest of a replaced response is still coming."""
        return self._doing is _Doing.DISCARDING

    def on_remove(self, out: Outlet) -> None:
        """Stop watching; the rest of a replaced response may not reach the client."""
        self._place.unwatch(self._see_request)
        if self.active and self.committed():
            self.close(out)

    # Reading.

    def _see_request(self, data: bytes) -> None:
        if self.active:
            self._requests.see(data)

    def _take(self, chunk: Chunk, out: Outlet) -> None:
        if self._reader is None:
            if not self._requests.waiting:
                out.feed(chunk)
                return
            self._reader = Reader(self._framing, OPENING)
        try:
            for event in self._reader.feed(chunk.data):
                self._on(event, out, chunk.at)
        except NotHttp:
            self._give_up(out, chunk.at)

    def _framing(self, head: Head) -> tuple[Framing, int]:
        if not self._requests.waiting:
            raise NotHttp("a response that nobody asked for")
        return response_framing(head, self._requests.waiting[0].method)

    def _on(self, event: Head | Data | End, out: Outlet, at: float) -> None:
        match event:
            case Head():
                self._on_head(event, out, at)
            case Data():
                self._on_data(event, out, at)
            case End():
                self._on_end(out, at)

    def _on_head(self, head: Head, out: Outlet, at: float) -> None:
        framing, _ = response_framing(head, self._requests.waiting[0].method)
        if framing in (Framing.INTERIM, Framing.TUNNEL):
            self._put(head.raw, out, at)
            return
        assert self._reader is not None
        said = head.get(b"connection")
        old = head.first_line.startswith(b"HTTP/1.0") and b"keep-alive" not in said
        closes = self._reader.ends_at_close or b"close" in said or old
        exchange = Exchange(self._requests.waiting.popleft(), head, closes)
        self._exchange = exchange
        concerned = self.concerns(exchange)
        self._hit = concerned and self.rng.random() < self.toxic.settings.rate
        replacement = self.instead(exchange) if self._hit else None
        if replacement is not None:
            self._doing = _Doing.DISCARDING
            self._put(replacement, out, at)
        elif self._hit or (concerned and self.always_sees()):
            self._doing = _Doing.HOLDING
            self._wire += head.raw
        else:
            self._put(head.raw, out, at)

    def _on_data(self, data: Data, out: Outlet, at: float) -> None:
        if self._doing is _Doing.PASSING:
            self._put(data.wire, out, at)
        elif self._doing is _Doing.HOLDING:
            self._wire += data.wire
            self._payload += data.payload
            if len(self._wire) > MOST_BODY_BYTES:
                self._let_go(bytes(self._wire), out, at)

    def _on_end(self, out: Outlet, at: float) -> None:
        if self._doing is _Doing.HOLDING:
            assert self._exchange is not None
            wire = bytes(self._wire)
            new = self.changed(self._exchange, wire, bytes(self._payload), self._hit)
            self._let_go(wire if new is None else new, out, at)
        self._doing = _Doing.PASSING
        self._exchange = None

    def _stream_over(self, out: Outlet, now: float) -> None:
        if self._reader is not None and self._reader.ends_at_close:
            self._on_end(out, now)
        elif not self.committed():
            self._give_up(out, now)

    def _give_up(self, out: Outlet, at: float) -> None:
        rest = self._reader.rest() if self._reader is not None else b""
        discarding = self.committed()
        self._reader = None
        self._requests.forget()
        self._let_go(bytes(self._wire), out, at)
        # What follows a replaced response can't be told from its rest: end the connection.
        if discarding:
            self.close(out)
        else:
            self._put(rest, out, at)

    def _let_go(self, wire: bytes, out: Outlet, at: float) -> None:
        self._wire.clear()
        self._payload.clear()
        self._doing = _Doing.PASSING
        self._put(wire, out, at)

    def _put(self, data: bytes, out: Outlet, at: float) -> None:
        if data:
            out.feed(Chunk(data, at))
