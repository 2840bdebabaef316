"""The content checks against the vector store's own process, across layouts and a restart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from harness.checks.answers import (
    answers_verdict,
    configuration,
    configuration_verdict,
    top_k_answers,
)
from harness.checks.collection import Collection
from harness.checks.content import content_verdict, narrow
from harness.checks.digest import digest

ROOT = Path(__file__).resolve().parents[3]
KEY = "content-checks-key"
N = 600


class Server:
    """``python -m refstack.vectordb`` on a free port, which can be stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, headers={"api-key": KEY}, timeout=20)
        self.start()

    def start(self) -> None:
        environment = {
            **os.environ,
            "QDRANT__SERVICE__API_KEY": KEY,
            "QDRANT__STORAGE__STORAGE_PATH": str(self.directory / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.directory / "snapshots"),
        }
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "refstack.vectordb"),
                    *("--host", "127.0.0.1", "--port", str(self.port)),
                ],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        self.stop()
        pytest.fail((self.directory / "log").read_text()[-500:])

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(method, path, json=body)
        assert response.status_code == 200, response.text
        return response.json()["result"]

    def collection(self, name: str) -> Collection:
        return Collection(self.url, name, api_key=KEY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    own = Server(tmp_path_factory.mktemp("vectordb"))
    yield own
    own.stop()
    own.client.close()


def _points(order: np.ndarray) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((N, 32)).astype(np.float32)
    return [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))),
            "vector": [float(x) for x in vectors[i]],
            "payload": {"tenant_id": f"t{i % 4}", "chunk_id": f"c{i}", "meta": {"n": i / 3}},
        }
        for i in order
    ]


def _fill(server: Server, name: str, order: np.ndarray, batch: int) -> None:
    server.call("PUT", f"/collections/{name}", {"vectors": {"size": 32, "distance": "Cosine"}})
    server.call(
        "PUT",
        f"/collections/{name}/index?wait=true",
        {"field_name": "tenant_id", "field_schema": {"type": "keyword", "is_tenant": True}},
    )
    points = _points(order)
    for begin in range(0, N, batch):
        server.call(
            "PUT",
            f"/collections/{name}/points?wait=true",
            {"points": points[begin : begin + batch]},
        )


def test_content_is_recognised_across_layouts_and_restarts_and_each_change_is_named(
    server: Server, tmp_path: Path
) -> None:
    _fill(server, "one", np.arange(N), 300)
    _fill(server, "two", np.random.default_rng(1).permutation(N), 47)
    queries = np.random.default_rng(2).standard_normal((5, 32)).tolist()
    ledger = tmp_path / "one.jsonl"
    with server.collection("one") as one, server.collection("two") as two:
        before = digest(one, ledger=ledger)
        assert before.count == N
        assert content_verdict(before, digest(two)).passed
        answers = top_k_answers(one, queries, 10)
        assert answers_verdict(answers, top_k_answers(two, queries, 10)).passed
        settings = configuration(one)
        assert configuration_verdict(settings, configuration(two)).passed
        assert "tenant_id" in settings["payload_schema"]
        assert one.count({"must": [{"key": "tenant_id", "match": {"value": "t1"}}]}) == N // 4
        server.stop()
        server.start()
        assert content_verdict(before, digest(one)).passed
        assert answers_verdict(answers, top_k_answers(one, queries, 10)).passed

        points = _points(np.arange(N))
        server.call(
            "POST",
            "/collections/one/points/delete?wait=true",
            {"points": [points[0]["id"]]},
        )
        server.call(
            "POST",
            "/collections/one/points/payload?wait=true",
            {"payload": {"tenant_id": "t9"}, "points": [points[1]["id"]]},
        )
        server.call(
            "PUT",
            "/collections/one/points?wait=true",
            {"points": [{**points[2], "vector": points[3]["vector"]}]},
        )
        after = digest(one)
        for source in (ledger, two):
            difference = narrow(before, after, source, one)
            assert difference.missing == [points[0]["id"]]
            assert difference.extra == []
            assert {c.id: c.parts for c in difference.changed} == {
                points[1]["id"]: ["payload"],
                points[2]["id"]: ["vector"],
            }
        assert not content_verdict(before, after, difference).passed
