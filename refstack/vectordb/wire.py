"""Frames between the front process and a collection's worker process.

A call is `id, parameters, body`, where parameters are JSON and the body is the request's own
bytes; an answer is `id, status, body`, where the body is the JSON of `result` for status 200 and
the error text otherwise. Integers are little-endian.
"""

from __future__ import annotations

import socket
import struct

CALL = struct.Struct("<QII")
ANSWER = struct.Struct("<QIQ")


def pack_call(call_id: int, parameters: bytes, body: bytes) -> bytes:
    """One call as bytes; `parameters` and `body` stay below 4 GiB each."""
    return CALL.pack(call_id, len(parameters), len(body)) + parameters + body


def pack_answer(call_id: int, status: int, size: int) -> bytes:
    """The head of one answer, to be followed by `size` bytes."""
    return ANSWER.pack(call_id, status, size)


def read_exactly(connection: socket.socket, size: int) -> bytes | None:
    """`size` bytes from a blocking socket, or None when the other side has closed it."""
    if size == 0:
        return b""
    buffer = bytearray(size)
    view = memoryview(buffer)
    filled = 0
    while filled < size:
        count = connection.recv_into(view[filled:])
        if count == 0:
            return None
        filled += count
    return bytes(buffer)


def read_call(connection: socket.socket) -> tuple[int, bytes, bytes] | None:
    """The next call, or None at the end of the stream."""
    head = read_exactly(connection, CALL.size)
    if head is None:
        return None
    call_id, parameter_size, body_size = CALL.unpack(head)
    parameters = read_exactly(connection, parameter_size)
    body = read_exactly(connection, body_size)
    if parameters is None or body is None:
        return None
    return call_id, parameters, body
