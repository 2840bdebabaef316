"""A snapshot whose data the engine's last minor version wrote restores into this one, as it was.

The last minor version comes from the package index into a directory of its own; where there is
none to be had, this is not shown.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.checks.collection import Collection
from harness.checks.digest import digest, digest_of
from refstack.vectordb.archive import write_snapshot

pytestmark = pytest.mark.slow

INSTALL_S = 240
WRITER = """
import json, sys
import qdrant_edge as edge

settings = edge.EdgeVectorParams(size=4, distance=edge.Distance.Dot)
shard = edge.EdgeShard.create(sys.argv[1], edge.EdgeConfig(vectors=settings))

def point(number, turn):
    payload = {"k": f"t{number % 3}", "n": number, "turn": turn}
    return edge.Point(id=number, vector=[number + turn, number / 7, -number, 1.0], payload=payload)

change = edge.UpdateOperation
shard.update(change.upsert_points([point(n, 0) for n in range(300)]))
shard.update(change.upsert_points([point(n, 1) for n in range(0, 300, 10)]))
shard.update(change.delete_points([5, 15, 25]))
shard.flush()
there, _ = shard.scroll(edge.ScrollRequest(limit=1000, with_payload=True, with_vector=True))
json.dump([{"id": p.id, "vector": p.vector, "payload": p.payload} for p in there], sys.stdout)
shard.close()
"""


@pytest.fixture(scope="module")
def last_minor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the engine one minor version before the one that is installed."""
    major, minor = importlib.metadata.version("qdrant-edge-py").split(".")[:2]
    wanted = f"qdrant-edge-py=={major}.{int(minor) - 1}.*"
    place = tmp_path_factory.mktemp("engine")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run(
        [*command, str(place), wanted], capture_output=True, text=True, timeout=INSTALL_S
    )
    if done.returncode:
        pytest.skip(f"{wanted} can't be had here: {done.stderr.strip()[-200:]}")
    return place


def test_what_the_last_minor_version_wrote_restores_with_the_same_content(
    vectordb: Any, last_minor: Path, tmp_path: Path, name: str, make_points: Callable[..., Any]
) -> None:
    shard = tmp_path / "shard"
    shard.mkdir()
    written = subprocess.run(
        [sys.executable, "-c", WRITER, str(shard)],
        env={**os.environ, "PYTHONPATH": str(last_minor)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert written.returncode == 0, written.stderr
    points = json.loads(written.stdout)
    assert len(points) == 297
    vectordb.create(name)
    shown = vectordb.ok("GET", f"/collections/{name}")
    archive = tmp_path / "last-minor.snapshot"
    write_snapshot(archive, shard, {**shown, "payload_schema": {}}, peer_id=1)
    answer = vectordb.http.post(
        f"/collections/{name}/snapshots/upload",
        params={"priority": "snapshot"},
        files={"snapshot": ("x.snapshot", archive.read_bytes(), "application/octet-stream")},
    )
    assert answer.status_code == 200, answer.text
    with Collection(vectordb.url, name) as collection:
        assert digest(collection) == digest_of(points, name)
    vectordb.upsert(name, *make_points(3))
    with Collection(vectordb.url, name) as collection:
        assert digest(collection) != digest_of(points, name), "it takes updates"
