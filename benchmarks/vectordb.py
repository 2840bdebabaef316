"""Times the vector database stand-in end to end: `python benchmarks/vectordb.py`.

Starts a server of its own in a temporary directory and prints one table: the median of several
rounds with the lowest and highest, over HTTP, as a client sees them. Also how long queries take in
a collection while another one, and while itself, builds its index.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from qdrant_client import QdrantClient, models

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 30.0


@contextmanager
def running_server(home: Path) -> Iterator[str]:
    """The URL of a server that lives as long as the context."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "QDRANT__STORAGE__STORAGE_PATH": str(home / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(home / "snapshots"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "refstack.vectordb", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        give_up = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up:
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.02)
        else:
            raise SystemExit("the server did not become ready")
        yield url
    finally:
        process.terminate()
        process.wait(10)


class Bench:
    """One server, its clients, and the rows measured so far."""

    def __init__(self, url: str, points: int, dimension: int, rounds: int) -> None:
        self.url = url
        self.rounds = rounds
        self.client = QdrantClient(url=url, timeout=120)
        self.http = httpx.Client(base_url=url, timeout=120)
        source = np.random.default_rng(7)
        self.vectors = source.normal(size=(points, dimension)).astype(np.float32).tolist()
        self.rows: list[tuple[str, str, float, float, float]] = []

    def measure(self, what: str, unit: str, once: Callable[[int], float]) -> None:
        """Add the median, lowest and highest of `once` over the rounds."""
        values = [once(at) for at in range(self.rounds)]
        self.rows.append((what, unit, statistics.median(values), min(values), max(values)))
        print(f"  {what}: {statistics.median(values):.2f} {unit}", file=sys.stderr)

    def create(self, name: str) -> None:
        """An empty collection, replacing one of that name."""
        self.client.delete_collection(name)
        size = len(self.vectors[0])
        self.client.create_collection(
            name, vectors_config=models.VectorParams(size=size, distance=models.Distance.COSINE)
        )

    def fill(self, name: str) -> float:
        """Upsert every point through the client in batches of 500; seconds."""
        points = [
            models.PointStruct(
                id=at, vector=vector, payload={"tenant": f"t{at % 10}", "number": at}
            )
            for at, vector in enumerate(self.vectors)
        ]
        begun = time.perf_counter()
        for at in range(0, len(points), 500):
            self.client.upsert(name, points[at : at + 500], wait=True)
        return time.perf_counter() - begun

    def wait_green(self, name: str) -> float:
        """Seconds until the optimizers are done."""
        begun = time.perf_counter()
        while self.client.get_collection(name).status != models.CollectionStatus.GREEN:
            time.sleep(0.02)
        return time.perf_counter() - begun

    def post(self, path: str, body: dict[str, Any]) -> float:
        """Milliseconds of one request."""
        begun = time.perf_counter()
        answer = self.http.post(path, json=body)
        elapsed = (time.perf_counter() - begun) * 1e3
        answer.raise_for_status()
        return elapsed

    def query_ms(self, name: str, share: float, **extra: Any) -> Callable[[int], float]:
        """A round of 200 queries; its value at `share` of the sorted times."""

        def once(at: int) -> float:
            path = f"/collections/{name}/points/query"
            count = len(self.vectors)
            times = sorted(
                self.post(path, {"query": self.vectors[(at * 977 + i) % count], **extra})
                for i in range(200)
            )
            return times[int(share * (len(times) - 1))]

        return once

    def query_while(self, name: str, work: Callable[[], Any]) -> list[float]:
        """Milliseconds of queries, one every 5 ms or so, while `work` runs."""
        times: list[float] = []
        halt = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=self.url, timeout=60) as client:
                at = 0
                while not halt.is_set():
                    body = {"query": self.vectors[at % len(self.vectors)], "limit": 10}
                    begun = time.perf_counter()
                    client.post(f"/collections/{name}/points/query", json=body).raise_for_status()
                    times.append((time.perf_counter() - begun) * 1e3)
                    at += 1
                    time.sleep(0.005)

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            work()
        finally:
            halt.set()
            asker.join()
        return sorted(times)

    def report(self) -> str:
        """The table in Markdown."""
        lines = [
            "| what | median, or as named | lowest | highest | unit |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {what} | {middle:.2f} | {low:.2f} | {high:.2f} | {unit} |"
            for what, unit, middle, low, high in self.rows
        ]
        return "\n".join(lines)


def run(bench: Bench, home: Path) -> None:
    """Every measurement, in an order in which each finds what it needs."""

    def upsert(_: int) -> float:
        bench.create("a")
        return bench.fill("a")

    bench.measure("upsert of all points by qdrant-client", "s", upsert)
    bench.measure(
        "index built after it", "s", lambda at: bench.wait_green("a") if not at else _rebuild(bench)
    )
    bench.measure("query, HNSW, p50 of 200", "ms", bench.query_ms("a", 0.5))
    bench.measure("query, HNSW, p99 of 200", "ms", bench.query_ms("a", 0.99))
    tenant = {"must": [{"key": "tenant", "match": {"value": "t3"}}]}
    bench.measure("query, filter without index, p50", "ms", bench.query_ms("a", 0.5, filter=tenant))
    schema = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    bench.client.create_payload_index("a", "tenant", schema)
    bench.measure("query, filter with index, p50", "ms", bench.query_ms("a", 0.5, filter=tenant))
    bench.measure("query, exact, p50", "ms", bench.query_ms("a", 0.5, params={"exact": True}))
    scroll = "/collections/a/points/scroll"
    everything = {"limit": len(bench.vectors), "with_vector": True}
    bench.measure(
        "scroll of all points with vectors", "ms", lambda _: bench.post(scroll, everything)
    )
    bench.measure(
        "scroll of all points without",
        "ms",
        lambda _: bench.post(scroll, {"limit": len(bench.vectors)}),
    )
    bench.measure("exact count", "ms", lambda _: bench.post("/collections/a/points/count", {}))
    bench.measure("facet", "ms", lambda _: bench.post("/collections/a/facet", {"key": "tenant"}))

    def snapshot(_: int) -> float:
        begun = time.perf_counter()
        bench.client.create_snapshot("a")
        return time.perf_counter() - begun

    bench.measure("snapshot", "s", snapshot)
    source = next((home / "snapshots" / "a").glob("*.snapshot"))

    def restore(_: int) -> float:
        begun = time.perf_counter()
        bench.client.recover_snapshot("a", source.as_uri())
        return time.perf_counter() - begun

    bench.measure("restore in place", "s", restore)
    for subject in ("a", "b"):
        times: list[float] = []
        for _ in range(bench.rounds):
            bench.create("b")
            bench.fill("b")
            times += bench.query_while(subject, lambda: bench.wait_green("b"))
        times.sort()
        whose = "another" if subject == "a" else "its own"
        for share in (0.5, 0.99, 1.0):
            value = times[int(share * (len(times) - 1))]
            label = "max" if share == 1.0 else f"p{share * 100:.0f}"
            row = (f"query during {whose} index build, {label}", "ms", value, times[0], times[-1])
            bench.rows.append(row)


def _rebuild(bench: Bench) -> float:
    bench.create("a")
    bench.fill("a")
    return bench.wait_green("a")


def main() -> int:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bench-vectordb-"))
    try:
        with running_server(home) as url:
            bench = Bench(url, arguments.points, arguments.dimension, arguments.rounds)
            run(bench, home)
            bench.http.close()
            bench.client.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"{arguments.points} points of {arguments.dimension} dimensions, cosine; ", end="")
    print(f"{arguments.rounds} rounds; {cores} processors, load {load:.1f}, {platform.machine()}\n")
    print(bench.report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
