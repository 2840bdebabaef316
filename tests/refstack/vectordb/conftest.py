"""Servers of the vector database stand-in for tests: real processes on free loopback ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[3]
START_TIMEOUT_S = 20.0


class Server:
    """One server process; `start` again after `kill` uses the same directories."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.storage = home / "storage"
        self.snapshots = home / "snapshots"
        self.log = home / "server.log"
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("QDRANT__")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "refstack.vectordb", "--port", str(self.port)],
                cwd=ROOT,
                env={
                    **clean,
                    "QDRANT__STORAGE__STORAGE_PATH": str(self.storage),
                    "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.snapshots),
                    **self.environment,
                },
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> Server:
        """Start and wait until every collection is served."""
        process = self.launch()
        give_up = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up:
            if process.poll() is not None:
                break
            try:
                if self.http.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        self.stop()
        raise AssertionError(f"the server did not become ready:\n{self.log.read_text()}")

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL of the front alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    def workers(self) -> dict[str, int]:
        """Process ids of the workers by the name of their directory."""
        assert self.process is not None
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                arguments = entry.joinpath("cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == self.process.pid and b"refstack.vectordb.worker" in arguments:
                directory = arguments[arguments.index(b"refstack.vectordb.worker") + 1]
                found[Path(directory.decode()).name] = int(entry.name)
        return found

    def ok(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        """`result` of a request that must succeed."""
        response = self.http.request(method, path, json=json, **options)
        assert response.status_code == 200, response.text
        return response.json()["result"]

    def error(self, method: str, path: str, json: Any = None, **options: Any) -> tuple[int, str]:
        """Status and message of a request that must fail with the API's envelope."""
        response = self.http.request(method, path, json=json, **options)
        body = response.json()
        assert set(body) == {"status", "time"}, response.text
        return response.status_code, body["status"]["error"]

    def create(self, name: str, **settings: Any) -> str:
        """A collection of 4-dimensional vectors unless `settings` say otherwise."""
        body = {"vectors": {"size": 4, "distance": "Dot"}, **settings}
        assert self.ok("PUT", f"/collections/{name}", body) is True
        return name

    def upsert(self, name: str, *points: dict[str, Any]) -> None:
        """Write points and wait."""
        done = self.ok("PUT", f"/collections/{name}/points?wait=true", {"points": list(points)})
        assert done["status"] == "completed"

    def ids(self, name: str, condition: Any = None) -> list[Any]:
        """Ids of the points that match a filter."""
        body = {"limit": 10000, "with_payload": False, "filter": condition}
        found = self.ok("POST", f"/collections/{name}/points/scroll", body)
        return [point["id"] for point in found["points"]]

    def content(self, name: str) -> list[dict[str, Any]]:
        """Every point with payload and vectors, by id."""
        body = {"limit": 10000, "with_payload": True, "with_vector": True}
        points: list[dict[str, Any]] = self.ok("POST", f"/collections/{name}/points/scroll", body)[
            "points"
        ]
        return points

    def wait_green(self, name: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """The collection's info once its optimizers are done."""
        give_up = time.monotonic() + timeout_s
        while True:
            info: dict[str, Any] = self.ok("GET", f"/collections/{name}")
            if info["status"] == "green":
                return info
            assert time.monotonic() < give_up, f"still {info}"
            time.sleep(0.05)


def points(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Points with ids from `start` whose vector and payload tell the id."""
    return [
        {"id": i, "vector": [float(i), 1.0, 2.0, 3.0], "payload": {"n": i, "k": f"v{i % 3}"}}
        for i in range(start, start + count)
    ]


@pytest.fixture
def make_points() -> Callable[..., list[dict[str, Any]]]:
    return points


@pytest.fixture(scope="session")
def vectordb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tests share, each with collections of its own."""
    server = Server(tmp_path_factory.mktemp("vectordb"))
    server.start()
    yield server
    server.http.close()
    assert server.stop() == 0


@pytest.fixture
def own_vectordb(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that a test may break."""
    made: list[Server] = []

    def make(**environment: str) -> Server:
        home = tmp_path / f"server{len(made)}"
        home.mkdir()
        server = Server(home, **environment)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.http.close()
        if server.process is not None:
            server.stop()


@pytest.fixture
def name() -> str:
    """A collection name that no other test uses."""
    return f"c-{uuid.uuid4().hex[:10]}"
