"""What the server tells about itself: `/metrics` and `/telemetry`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from refstack.vectordb import API_VERSION, TITLE
from refstack.vectordb.checks import JsonObject
from refstack.vectordb.config import dense_vectors
from refstack.vectordb.errors import ApiError
from refstack.vectordb.metrics import Page, Responses
from refstack.vectordb.registry import Registry
from refstack.vectordb.settings import Settings
from refstack.vectordb.snapshots import Snapshots

if TYPE_CHECKING:
    from refstack.vectordb.app import Request

MEASURE_TIMEOUT_S = 1.0
_PER_COLLECTION: tuple[tuple[str, str, Callable[[JsonObject], float]], ...] = (
    (
        "collection_points",
        "approximate amount of points per collection",
        lambda info: info["points_count"],
    ),
    (
        "collection_running_optimizations",
        "number of currently running optimization tasks per collection",
        lambda info: int(info["status"] == "yellow"),
    ),
    (
        "collection_update_queue_length",
        "number of pending operations in update queues per collection",
        lambda info: info["update_queue"]["length"],
    ),
)


@dataclass(frozen=True)
class File:
    """A file to be sent as it is."""

    path: Path


@dataclass(frozen=True)
class Text:
    """A text to be sent outside the envelope."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


class Measures:
    """Counts responses, and asks the workers for the rest when somebody wants to know."""

    def __init__(self, settings: Settings, registry: Registry, snapshots: Snapshots) -> None:
        self._settings = settings
        self._registry = registry
        self._snapshots = snapshots
        self._begun = time.time()
        self.responses = Responses()

    async def _infos(self) -> dict[str, JsonObject]:
        async def info(name: str) -> tuple[str, JsonObject]:
            worker = self._registry.collections[name]
            with contextlib.suppress(ApiError, KeyError):
                status, body = await worker.call({"op": "info"}, b"", MEASURE_TIMEOUT_S)
                if status == 200:
                    return name, orjson.loads(body)
            return name, {}

        found = await asyncio.gather(*(info(name) for name in list(self._registry.collections)))
        return {name: value for name, value in found if value}

    async def telemetry(self, _request: Request) -> JsonObject:
        infos = await self._infos()
        return {
            "id": str(self._registry.peer_id),
            "stand_in": True,
            "app": {
                "name": TITLE,
                "version": API_VERSION,
                "engine": "qdrant-edge-py",
                "engine_version": importlib.metadata.version("qdrant-edge-py"),
                "startup": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._begun)),
                "jwt_rbac": self._settings.jwt_rbac,
            },
            "collections": {
                "number_of_collections": len(self._registry.collections),
                "collections": [
                    {"id": name, "config": info["config"], "points_count": info["points_count"]}
                    for name, info in sorted(infos.items())
                ],
            },
        }

    async def metrics(self, _request: Request) -> Text:
        infos = await self._infos()
        page = Page()
        page.app()
        _collections(page, infos, len(self._registry.collections))
        workers = self._registry.collections.values()
        page.family(
            "collection_dead_replicas",
            "total amount of shard replicas in non-active state",
            "gauge",
            [({}, sum(not worker.ready for worker in workers))],
        )
        for metric, text, running in (
            (
                "snapshot_creation_running",
                "amount of snapshot creations that are currently running",
                self._snapshots.creating,
            ),
            (
                "snapshot_recovery_running",
                "amount of snapshot recovery operations currently running",
                self._snapshots.recovering,
            ),
        ):
            counts = sorted(running.items())
            page.family(metric, text, "gauge", (({"id": name}, count) for name, count in counts))
        page.family(
            "snapshot_created_total",
            "total amount of snapshots created",
            "counter",
            [({}, self._snapshots.created)],
        )
        page.family("cluster_enabled", "is cluster support enabled", "gauge", [({}, 0)])
        page.responses(self.responses)
        page.processes([os.getpid(), *(w.pid for w in workers if w.pid is not None)])
        return Text(page.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _collections(page: Page, infos: dict[str, JsonObject], count: int) -> None:
    page.family("collections_total", "number of collections", "gauge", [({}, count)])
    vectors = {name: _vectors(info) for name, info in sorted(infos.items())}
    page.family(
        "collections_vector_total",
        "total number of vectors in all collections",
        "gauge",
        [({}, sum(sum(counts.values()) for counts in vectors.values()))],
    )
    page.family(
        "collection_vectors",
        "amount of vectors grouped by vector name",
        "gauge",
        (
            ({"collection": name, "vector": vector}, number)
            for name, counts in vectors.items()
            for vector, number in counts.items()
        ),
    )
    for metric, text, value in _PER_COLLECTION:
        samples = [({"id": name}, value(info)) for name, info in sorted(infos.items())]
        page.family(metric, text, "gauge", samples)


def _vectors(info: JsonObject) -> dict[str, int]:
    """Vectors by name, taking each point to have one of each: the engine counts no closer."""
    params = info["config"]["params"]
    names = [*dense_vectors(params), *(params.get("sparse_vectors") or {})]
    points: int = info["points_count"]
    return dict.fromkeys(names, points)
