"""A collection in memory behind the REST API that the content checks read."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from harness.checks.collection import Collection


class Store:
    """Holds points and answers scroll, points, count, query, info and aliases.

    ``order`` gives the points an order of their own, as another segment layout would; ``calls``
    keeps (path, body) of each request and ``sent`` the points sent with vectors.
    """

    def __init__(self, points: list[dict[str, Any]], seed: int = 0) -> None:
        self.points = {str(point["id"]): point for point in points}
        self.order = list(self.points)
        random.Random(seed).shuffle(self.order)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.sent = 0
        self.api_key: str | None = None
        self.aliases = ["rag-chunks"]
        self.config: dict[str, Any] = {"params": {"vectors": {"size": 4, "distance": "Cosine"}}}
        self.schema: dict[str, Any] = {
            "tenant_id": {"data_type": "keyword", "params": {"is_tenant": True}, "points": 3}
        }

    def collection(self, api_key: str | None = None) -> Collection:
        return Collection(
            "http://store", "chunks", api_key=api_key, transport=httpx.MockTransport(self._answer)
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.api_key is not None and request.headers.get("api-key") != self.api_key:
            return httpx.Response(401, text="Invalid API key or JWT")
        path = request.url.path.removeprefix("/collections/chunks")
        body = json.loads(request.content) if request.content else {}
        self.calls.append((path, body))
        answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "": self._info,
            "/aliases": lambda _: {
                "aliases": [{"alias_name": a, "collection_name": "chunks"} for a in self.aliases]
            },
            "/points/scroll": self._scroll,
            "/points": self._points,
            "/points/count": lambda _: {"count": len(self.points)},
            "/points/query": self._query,
        }
        if path not in answers:
            return httpx.Response(404, json={"status": {"error": "Not found"}, "time": 0})
        return httpx.Response(200, json={"result": answers[path](body), "status": "ok", "time": 0})

    def _info(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "status": "green",
            "points_count": len(self.points),
            "segments_count": 2,
            "config": self.config,
            "payload_schema": self.schema,
        }

    def _shown(self, point: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": point["id"]}
        if body.get("with_vector"):
            shown["vector"] = point["vector"]
            self.sent += 1
        wanted = body.get("with_payload")
        if wanted is True:
            shown["payload"] = point["payload"]
        elif wanted:
            shown["payload"] = {k: v for k, v in point["payload"].items() if k in wanted}
        return shown

    def _scroll(self, body: dict[str, Any]) -> dict[str, Any]:
        order = [key for key in self.order if key in self.points]
        begin = order.index(str(body["offset"])) if "offset" in body else 0
        end = begin + body["limit"]
        return {
            "points": [self._shown(self.points[key], body) for key in order[begin:end]],
            "next_page_offset": self.points[order[end]]["id"] if end < len(order) else None,
        }

    def _points(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = [str(point_id) for point_id in body["ids"]]
        return [self._shown(self.points[key], body) for key in wanted if key in self.points]

    def _query(self, body: dict[str, Any]) -> dict[str, Any]:
        query = np.array(body["query"])
        scored = [
            {"id": self.points[key]["id"], "score": float(query @ np.array(point["vector"]))}
            for key in self.order
            if (point := self.points.get(key)) is not None
        ]
        scored.sort(key=lambda point: -point["score"])
        return {"points": scored[: body["limit"]]}


def make_points(n: int, dimensions: int = 4) -> list[dict[str, Any]]:
    """``n`` points of three tenants with UUID ids, unit vectors and small payloads."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((n, dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))),
            "vector": [float(x) for x in vectors[i]],
            "payload": {
                "tenant_id": f"t{i % 3}",
                "chunk_id": f"c{i}",
                "ingested_at": 1_700_000_000 + i,
                "meta": {"b": [1, 2.5, None], "a": "ä"},
            },
        }
        for i in range(n)
    ]


@pytest.fixture
def make_store() -> Callable[..., Store]:
    def build(n: int = 0, *, points: list[dict[str, Any]] | None = None, seed: int = 0) -> Store:
        return Store(make_points(n) if points is None else points, seed)

    return build
