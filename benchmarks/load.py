"""Figures of the load generator: its own lateness by rate, and the highest rate it keeps cleanly.

Run ``python -m benchmarks.load [--seconds S]``. Output: one JSON object on stdout. The target is a
trivial HTTP server in a process of its own, so what shows is the generator and the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from harness.load.plan import LoadPlan, Request
from harness.load.result import LoadResult
from harness.load.runner import start_load

RATES = (20, 100, 500, 1000)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CLEAN_LATENESS_S = 0.010
"""A rate counts as clean when 99 % of the starts come within this time (4 % of 250 ms)."""


class _Answering(asyncio.Protocol):
    """Answers each request with the same two bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._transport.write(ANSWER)


def _serve(port_to: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
        port_to.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _measure(url: str, rate: float, seconds: float, *, fresh: bool = False) -> dict[str, Any]:
    plan = LoadPlan(
        url,
        [Request("POST", "/v1/query", json={"query": "what does it cost", "top_k": 5})],
        rate=rate,
        duration_s=seconds,
        max_lateness_s=CLEAN_LATENESS_S,
        fresh_connections=fresh,
    )
    peak = [0]
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        with start_load(plan, Path(directory)) as load:
            startup = time.monotonic() - began
            process = psutil.Process(load.pid)

            def watch() -> None:
                try:
                    while True:
                        peak[0] = max(peak[0], process.memory_info().rss)
                        time.sleep(0.2)
                except psutil.Error:
                    return

            threading.Thread(target=watch, daemon=True).start()
            result: LoadResult = load.wait()
        lateness = result.samples.lateness
        latency = result.samples.latency
        return {
            "rate": rate,
            "fresh_connections": fresh,
            "requests": len(result.samples),
            "counts": result.counts(),
            "startup_s": round(startup, 3),
            "lateness_ms": _quantiles(lateness),
            "latency_ms": _quantiles(latency),
            "generator_peak_mib": round(peak[0] / 2**20, 1),
            "void_reason": result.void_reason,
        }


def _quantiles(seconds: np.ndarray) -> dict[str, float]:
    return {
        f"p{100 * p:g}": round(1000 * float(np.quantile(seconds, p)), 3) for p in (0.5, 0.95, 0.99)
    }


def _highest_clean(url: str, seconds: float) -> dict[str, Any]:
    """Double the rate until a run is void, then halve the gap four times."""
    tried: dict[int, str | None] = {}

    def clean(rate: int) -> bool:
        tried[rate] = _measure(url, rate, seconds)["void_reason"]
        return tried[rate] is None

    low, high = 0, 1000
    while high <= 64_000 and clean(high):
        low, high = high, high * 2
    for _ in range(4):
        middle = (low + high) // 2
        low, high = (middle, high) if clean(middle) else (low, middle)
    return {"rate": low, "tried": {str(rate): reason for rate, reason in sorted(tried.items())}}


def main() -> int:
    """Measure, print JSON, return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each run")
    seconds: float = parser.parse_args().seconds
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs,), daemon=True
    )
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}"
        figures = {
            "by_rate": [_measure(url, rate, seconds) for rate in RATES],
            "fresh": [_measure(url, rate, seconds, fresh=True) for rate in (20, 500)],
            "highest_clean_rate": _highest_clean(url, min(seconds, 4.0)),
            "machine": {
                "cpus": os.cpu_count(),
                "load_1m": round(os.getloadavg()[0], 2),
                "python": platform.python_version(),
            },
        }
    finally:
        server.terminate()
        server.join(10)
    json.dump(figures, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
