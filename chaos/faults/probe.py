"""Independent look at a link: connect as its user would, send the smallest request, time it."""

from __future__ import annotations

import socket
import statistics
import struct
import time
from dataclasses import dataclass

from harness.drivers.base import Link

_HTTP = b"GET %s HTTP/1.1\r\nHost: probe\r\nConnection: close\r\nUser-Agent: ragdrill-probe\r\n\r\n"
# PostgreSQL's SSLRequest: the server answers with one byte before any log-in (protocol manual).
_POSTGRES = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True)
class Look:
    """What one probe saw: ``outcome`` is answered, refused, reset, closed or silent."""

    outcome: str
    seconds: float
    received: int = 0


def look(
    host: str, port: int, target: str, *, timeout: float = 1.5, path: str = "/healthz"
) -> Look:
    """Open a fresh connection, send one request that ``target`` answers, read to the end.

    ``seconds`` runs from before the connection to the last byte read (or to the failure).
    """
    request = _POSTGRES if target == "metadata" else _HTTP % path.encode()
    began = time.perf_counter()
    received = 0
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
                    break
                received += len(chunk)
                if target == "metadata":
                    break
    except TimeoutError:
        pass
    except ConnectionRefusedError:
        return Look("refused", time.perf_counter() - began)
    except ConnectionError:
        return Look("reset", time.perf_counter() - began, received)
    seconds = time.perf_counter() - began
    if received:
        return Look("answered", seconds, received)
    return Look("silent" if seconds >= timeout * 0.95 else "closed", seconds)


def look_through(link: Link, *, timeout: float = 1.5, path: str = "/healthz") -> Look:
    """Probe through the fault proxy, as the link's source sees its target."""
    return look(link.host, link.port, link.target, timeout=timeout, path=path)


def median_seconds(looks: list[Look]) -> float | None:
    """The median time of the probes that were answered, or ``None`` when none was."""
    times = [each.seconds for each in looks if each.outcome == "answered"]
    return statistics.median(times) if times else None
