"""The vector store: Qdrant's REST API, as far as the gateway needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from refstack.gateway.deadline import Deadline
from refstack.gateway.upstream import Upstream, UpstreamError

READ_TIMEOUT_S = 3.0
WRITE_TIMEOUT_S = 8.0


@dataclass(frozen=True)
class Hit:
    """A point that came back from a search, its tenant and persona checked."""

    chunk_id: str
    score: float


@dataclass(frozen=True)
class Point:
    """A point to be written."""

    id: UUID
    vector: list[float]
    payload: dict[str, Any]


def search_filter(
    tenant_id: str, persona: str, wanted: Mapping[str, str | int | bool]
) -> dict[str, Any]:
    """The filter of every search: this tenant, this persona, and equality of document metadata.

    Nothing that a client sends can widen it: what it asks for is one more condition under
    `must`, on keys below `meta.` that hold no dot.
    """
    must = [
        {"key": "tenant_id", "match": {"value": tenant_id}},
        {"key": "persona", "match": {"value": persona}},
    ]
    must += [{"key": f"meta.{key}", "match": {"value": value}} for key, value in wanted.items()]
    return {"must": must}


def removal_filter(tenant_id: str, point_ids: Iterable[UUID]) -> dict[str, Any]:
    """The filter of every removal: these points, and only if they are this tenant's."""
    return {
        "must": [
            {"has_id": [str(point_id) for point_id in point_ids]},
            {"key": "tenant_id", "match": {"value": tenant_id}},
        ]
    }


class VectorStore:
    """All methods raise `UpstreamError` when the store does not do what was asked.

    `search_ef` is how many candidates a search of the index keeps; 0 leaves it to the store.
    """

    def __init__(self, upstream: Upstream, search_ef: int = 0) -> None:
        self._upstream = upstream
        self._how = {"params": {"hnsw_ef": search_ef}} if search_ef else {}

    async def _result(
        self, method: str, path: str, body: Any, deadline: Deadline, timeout_s: float
    ) -> Any:
        status, answer = await self._upstream.call(
            method, path, body, deadline=deadline, timeout_s=timeout_s
        )
        if status != 200:
            raise UpstreamError(self._upstream.name, "status", status=status)
        if not isinstance(answer, dict) or "result" not in answer:
            raise UpstreamError(self._upstream.name, "malformed")
        return answer["result"]

    async def aliases(self, deadline: Deadline) -> dict[str, str]:
        """The collection behind each alias."""
        result = await self._result("GET", "/aliases", None, deadline, READ_TIMEOUT_S)
        return {entry["alias_name"]: entry["collection_name"] for entry in result["aliases"]}

    async def collections(self, deadline: Deadline) -> list[str]:
        """The names of all collections."""
        result = await self._result("GET", "/collections", None, deadline, READ_TIMEOUT_S)
        return [entry["name"] for entry in result["collections"]]

    async def exists(self, collection: str, deadline: Deadline) -> bool:
        """Whether a collection is there."""
        path = f"/collections/{quote(collection)}/exists"
        result = await self._result("GET", path, None, deadline, READ_TIMEOUT_S)
        return bool(result["exists"])

    async def search(
        self,
        collection: str,
        vector: Sequence[float],
        *,
        tenant_id: str,
        persona: str,
        wanted: Mapping[str, str | int | bool],
        limit: int,
        deadline: Deadline,
    ) -> list[Hit]:
        """The nearest points of one persona of one tenant, best first.

        A point that the store returns against the filter is dropped.
        """
        body = {
            "query": vector,
            "filter": search_filter(tenant_id, persona, wanted),
            "limit": limit,
            "with_payload": ["tenant_id", "persona", "chunk_id"],
            "with_vector": False,
            **self._how,
        }
        path = f"/collections/{quote(collection)}/points/query"
        result = await self._result("POST", path, body, deadline, READ_TIMEOUT_S)
        return [
            Hit(payload["chunk_id"], float(point["score"]))
            for point in result["points"]
            if (payload := point.get("payload") or {}).get("tenant_id") == tenant_id
            and payload.get("persona") == persona
            and isinstance(payload.get("chunk_id"), str)
        ]

    async def upsert(self, collection: str, points: Sequence[Point], deadline: Deadline) -> None:
        """Write points durably, in one call."""
        body = {
            "points": [
                {"id": str(point.id), "vector": point.vector, "payload": point.payload}
                for point in points
            ]
        }
        await self._write("PUT", f"/collections/{quote(collection)}/points", body, deadline)

    async def remove(
        self, collection: str, tenant_id: str, point_ids: Sequence[UUID], deadline: Deadline
    ) -> None:
        """Remove those of the points that are the tenant's; absent ones are no error."""
        body = {"filter": removal_filter(tenant_id, point_ids)}
        path = f"/collections/{quote(collection)}/points/delete"
        await self._write("POST", path, body, deadline)

    async def _write(self, method: str, path: str, body: Any, deadline: Deadline) -> None:
        # Without wait=true the store acknowledges what it has not applied yet.
        result = await self._result(method, f"{path}?wait=true", body, deadline, WRITE_TIMEOUT_S)
        if result.get("status") != "completed":
            raise UpstreamError(self._upstream.name, "timeout")
