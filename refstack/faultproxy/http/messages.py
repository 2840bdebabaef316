"""HTTP/1.1 messages read off a byte stream, with every byte accounted for.

Framing follows RFC 9112 §6.3. What a reader passes on unchanged is byte for byte what it took in.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MOST_HEAD_BYTES = 64 * 1024
"""The longest head, chunk line or trailer that is waited for."""

_CRLF = b"\r\n"
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?\Z", re.DOTALL)


class NotHttp(Exception):
    """The bytes are no HTTP/1.1 message that was expected here."""


class Framing(enum.Enum):
    """How the end of a message's body is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"
    INTERIM = "interim"
    TUNNEL = "tunnel"


@dataclass(frozen=True)
class Head:
    """The first line and the header fields of a message; `raw` is all of it with its blank line."""

    first_line: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    raw: bytes

    def get(self, name: bytes) -> bytes:
        """The value of a field, its lines joined by commas, lower case; empty when absent."""
        found = [value for key, value in self.fields if key.lower() == name]
        return b", ".join(found).lower()

    @property
    def chunked(self) -> bool:
        """Whether the body is sent in chunks."""
        return self.get(b"transfer-encoding").split(b",")[-1].strip() == b"chunked"

    @property
    def content_length(self) -> int | None:
        """The declared length of the body in bytes; raises `NotHttp` when it is no length."""
        values = {part.strip() for part in self.get(b"content-length").split(b",")} - {b""}
        if not values:
            return None
        value = values.pop()
        if values or not value.isdigit() or len(value) > 15:
            raise NotHttp("content-length is no length")
        return int(value)


@dataclass(frozen=True)
class Data:
    """A part of a body: `wire` as it was sent, `payload` without the framing of chunks."""

    wire: bytes
    payload: bytes


@dataclass(frozen=True)
class End:
    """The message is complete."""


Event = Head | Data | End


def parse_head(raw: bytes) -> Head:
    """Read a head that ends with its blank line; raises `NotHttp`."""
    first, *lines = raw[:-4].split(_CRLF)
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name:
            raise NotHttp("a header field without a name")
        fields.append((name, value.strip()))
    return Head(first, tuple(fields), raw)


def request_framing(head: Head) -> tuple[Framing, int]:
    """How the body of a request ends, and its length."""
    return (Framing.CHUNKED, 0) if head.chunked else (Framing.LENGTH, head.content_length or 0)


def response_framing(head: Head, method: bytes) -> tuple[Framing, int]:
    """How the body of a response to `method` ends, and its length; raises `NotHttp`."""
    status = status_of(head)
    if status == 101:
        return Framing.TUNNEL, 0
    if 100 <= status < 200:
        return Framing.INTERIM, 0
    if method == b"HEAD" or status in (204, 304):
        return Framing.LENGTH, 0
    if head.chunked:
        return Framing.CHUNKED, 0
    length = head.content_length
    return (Framing.UNTIL_CLOSE, 0) if length is None else (Framing.LENGTH, length)


def status_of(head: Head) -> int:
    """The status of a response; raises `NotHttp`."""
    version, _, rest = head.first_line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise NotHttp("no status line")
    return int(rest[:3])


class _At(enum.Enum):
    HEAD = "head"
    BODY = "body"
    CHUNK_LINE = "chunk line"
    CHUNK_END = "chunk end"
    TRAILERS = "trailers"
    END = "end"


class Reader:
    """Cuts one direction of a connection into messages.

    `framing` says how the body after a head ends, `opening` how every head begins. At
    most `MOST_HEAD_BYTES` beside the bytes just fed are held.
    """

    def __init__(
        self, framing: Callable[[Head], tuple[Framing, int]], opening: bytes = b""
    ) -> None:
        self._framing = framing
        self._opening = opening
        self._held = bytearray()
        self._at = _At.HEAD
        self._left = 0
        self._chunked = False
        self._open_end = False

    @property
    def between_messages(self) -> bool:
        """Whether no message has begun."""
        return self._at is _At.HEAD and not self._held

    @property
    def ends_at_close(self) -> bool:
        """Whether the message at hand is complete when the connection ends."""
        return self._open_end

    def rest(self) -> bytes:
        """What was fed and not yet given out."""
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes and give out what they complete; raises `NotHttp`, `rest()` is what is left.

        The iterator has to be run to its end before more is fed.
        """
        self._held += data
        while (event := self._next()) is not None:
            yield event

    def _next(self) -> Event | None:
        match self._at:
            case _At.HEAD:
                return self._head()
            case _At.BODY:
                return self._body()
            case _At.CHUNK_LINE:
                return self._chunk_line()
            case _At.CHUNK_END:
                return self._chunk_end()
            case _At.TRAILERS:
                return self._trailer()
            case _At.END:
                self._at = _At.HEAD
                return End()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _line_end(self, mark: bytes) -> int:
        end = self._held.find(mark)
        if end < 0 and len(self._held) > MOST_HEAD_BYTES:
            raise NotHttp("a line or head that does not end")
        return end

    def _head(self) -> Event | None:
        if not self._held.startswith(self._opening[: len(self._held)]):
            raise NotHttp("a head that begins otherwise")
        end = self._line_end(b"\r\n\r\n")
        if end < 0:
            return None
        head = parse_head(bytes(self._held[: end + 4]))
        framing, length = self._framing(head)
        # Taken only now: a head that is refused stays in what rest() gives back.
        self._take(end + 4)
        self._chunked = framing is Framing.CHUNKED
        self._open_end = framing in (Framing.UNTIL_CLOSE, Framing.TUNNEL)
        self._left = length
        if framing is Framing.INTERIM:
            self._at = _At.HEAD
        elif self._chunked:
            self._at = _At.CHUNK_LINE
        else:
            self._at = _At.BODY if length or self._open_end else _At.END
        return head

    def _body(self) -> Event | None:
        if not self._held:
            return None
        data = self._take(len(self._held) if self._open_end else self._left)
        if not self._open_end:
            self._left -= len(data)
            if not self._left:
                self._at = _At.CHUNK_END if self._chunked else _At.END
        return Data(data, data)

    def _chunk_line(self) -> Event | None:
        end = self._line_end(_CRLF)
        if end < 0:
            return None
        size = _CHUNK_LINE.match(self._held[:end])
        if size is None:
            raise NotHttp("no chunk size")
        self._left = int(size[1], 16)
        self._at = _At.BODY if self._left else _At.TRAILERS
        return Data(self._take(end + 2), b"")

    def _chunk_end(self) -> Event | None:
        if len(self._held) < 2:
            return None
        if self._held[:2] != _CRLF:
            raise NotHttp("a chunk longer than it said")
        self._at = _At.CHUNK_LINE
        return Data(self._take(2), b"")

    def _trailer(self) -> Event | None:
        end = self._line_end(_CRLF)
        if end < 0:
            return None
        if end == 0:
            self._at = _At.END
        return Data(self._take(end + 2), b"")
