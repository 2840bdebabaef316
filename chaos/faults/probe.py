"""Independent look at a link: connect as its user would, send the smallest request, time it."""

from __future__ import annotations

import socket
import statistics
import struct
import time
from dataclasses import dataclass

from harness.drivers.base import Link

_HTTP_GOES_ON = b"GET %s HTTP/1.1\r\nHost: probe\r\nUser-Agent: ragdrill-probe\r\n\r\n"
_HTTP = _HTTP_GOES_ON[:-2] + b"Connection: close\r\n\r\n"
# PostgreSQL's SSLRequest: the server answers with one byte before any log-in (protocol manual).
_POSTGRES = struct.pack("!ii", 8, 80877103)
# A start-up message of protocol 2.0, which PostgreSQL gave up with release 14: it answers with an
# error of a hundred bytes and more, and closes the connection.
_POSTGRES_ENDING = struct.pack("!ii", 8, 2 << 16)


@dataclass(frozen=True)
class Look:
    """What one probe saw: ``outcome`` is answered, refused, reset, closed or silent.

    ``received`` bytes came in ``pieces`` reads; ``ended`` tells whether the far side closed.
    """

    outcome: str
    seconds: float
    received: int = 0
    pieces: int = 0
    ended: bool = False


def look(
    host: str,
    port: int,
    target: str,
    *,
    timeout: float = 1.5,
    path: str = "/healthz",
    to_the_end: bool = False,
    asks: int = 1,
) -> Look:
    """Open a fresh connection, send one request that ``target`` answers, read to the end.

    ``seconds`` runs from before the connection to its end (or to the failure). PostgreSQL is asked
    for one byte and left; with ``to_the_end`` it is made to answer more and to close, at the price
    of a line in its log. An HTTP target can be asked several times on the one connection, all
    requests sent ahead (RFC 9112 §9.3.2).
    """
    request = _HTTP_GOES_ON % path.encode() * (asks - 1) + _HTTP % path.encode()
    if target == "metadata":
        request = _POSTGRES_ENDING if to_the_end else _POSTGRES
    began = time.perf_counter()
    received = pieces = 0
    ended = False
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(request)
            while True:
                left = timeout - (time.perf_counter() - began)
                if left <= 0:
                    break
                connection.settimeout(left)
                chunk = connection.recv(65536)
                if not chunk:
                    ended = True
                    break
                received += len(chunk)
                pieces += 1
                if target == "metadata" and not to_the_end:
                    break
    except TimeoutError:
        pass
    except ConnectionRefusedError:
        return Look("refused", time.perf_counter() - began)
    except ConnectionError:
        return Look("reset", time.perf_counter() - began, received, pieces)
    seconds = time.perf_counter() - began
    if received:
        return Look("answered", seconds, received, pieces, ended)
    return Look("closed" if ended else "silent", seconds, ended=ended)


def look_through(
    link: Link,
    *,
    timeout: float = 1.5,
    path: str = "/healthz",
    to_the_end: bool = False,
    asks: int = 1,
) -> Look:
    """Probe through the fault proxy, as the link's source sees its target."""
    return look(
        link.host,
        link.port,
        link.target,
        timeout=timeout,
        path=path,
        to_the_end=to_the_end,
        asks=asks,
    )


def median_seconds(looks: list[Look]) -> float | None:
    """The median time of the probes that were answered, or ``None`` when none was."""
    times = [each.seconds for each in looks if each.outcome == "answered"]
    return statistics.median(times) if times else None
