"""Bodies of responses: unpacked to be read, and responses written anew around changed ones."""

from __future__ import annotations

import json
import zlib
from typing import Any

from refstack.faultproxy.http.messages import Head
from refstack.faultproxy.http.stage import MOST_BODY_BYTES, Exchange

_OF_THE_OLD_BODY = frozenset(
    name.encode()
    for name in (
        *("content-length", "transfer-encoding", "content-encoding", "trailer", "etag"),
        *("content-md5", "digest", "content-digest", "repr-digest"),
    )
)


def is_json(head: Head) -> bool:
    """Whether a response says that its body is JSON."""
    media_type = head.get(b"content-type").split(b";")[0].strip()
    return media_type == b"application/json" or media_type.endswith(b"+json")


def unpacked(head: Head, body: bytes) -> bytes | None:
    """The body without its content encoding; None when it can't be had.

    Identity, gzip and deflate are known; at most `MOST_BODY_BYTES` are unpacked.
    """
    encoding = head.get(b"content-encoding")
    if encoding in (b"", b"identity"):
        return body
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        return None
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = inflate.decompress(body, MOST_BODY_BYTES)
    except zlib.error:
        return None
    return plain if inflate.eof else None


def parsed(head: Head, body: bytes) -> Any:
    """The JSON value of a body, None when there is none."""
    plain = unpacked(head, body)
    if plain is None:
        return None
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        return None


def with_body(exchange: Exchange, body: bytes) -> bytes:
    """The same response with another body, sent in one piece with its length."""
    fields = [
        (name, value)
        for name, value in exchange.head.fields
        if name.lower() not in _OF_THE_OLD_BODY
    ]
    return written(exchange, exchange.head.first_line, fields, body)


def as_json(exchange: Exchange, value: Any) -> bytes:
    """The same response with a JSON value as its body; NaN is written as Python writes it."""
    return with_body(exchange, json.dumps(value, separators=(",", ":")).encode())


def written(
    exchange: Exchange, first_line: bytes, fields: list[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """A response to the exchange's request, after which its connection goes on as it would."""
    fields = [*fields, (b"content-length", str(len(body)).encode())]
    if exchange.connection_closes and not any(n.lower() == b"connection" for n, _ in fields):
        fields.append((b"connection", b"close"))
    lines = [first_line, *(name + b": " + value for name, value in fields)]
    sent = b"" if exchange.request.method == b"HEAD" else body
    return b"\r\n".join(lines) + b"\r\n\r\n" + sent
