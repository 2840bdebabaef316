"""Grouped queries, which the engine's binding lacks: hits are fetched until the groups are full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refstack.vectordb.checks import JsonObject, as_int, as_text, given, required
from refstack.vectordb.errors import not_offered, validation_error
from refstack.vectordb.worker.answers import (
    read_with_payload,
    read_with_vector,
    record,
    scored,
)
from refstack.vectordb.worker.queries import read_query, run

if TYPE_CHECKING:
    from refstack.vectordb.worker.collection import Collection

_OWN = ("group_by", "group_size", "limit", "with_lookup")


def _values(payload: Any, path: list[str]) -> list[Any]:
    """What stands at a path; a list counts with each of its items."""
    if isinstance(payload, list):
        return [value for item in payload for value in _values(item, path)]
    if not path:
        return [payload]
    if not isinstance(payload, dict) or path[0] not in payload:
        return []
    return _values(payload[path[0]], path[1:])


def group_ids(payload: Any, key: str) -> list[str | int]:
    """The groups a point belongs to: strings and integers at `key`, each once."""
    path = [part.removesuffix("[]") for part in key.split(".")]
    found: dict[str | int, None] = {}
    for value in _values(payload or {}, path):
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            found[value] = None
    return list(found)


def grouped(collection: Collection, body: JsonObject) -> list[JsonObject]:
    """The best `limit` groups with up to `group_size` hits each. Raises `ApiError`."""
    if given(body, "with_lookup") is not None:
        raise not_offered("with_lookup")
    key = as_text(required(body, "group_by"), "group_by")
    if '"' in key:
        raise validation_error("group_by", "takes plain keys joined by dots")
    size = as_int(body.get("group_size") or 3, "group_size", 1)
    limit = as_int(body.get("limit") or 10, "limit", 1)
    inner = {name: value for name, value in body.items() if name not in _OWN}
    points = max(collection.shard.info().points_count, 1)
    fetch = min(limit * size * 4, points)
    while True:
        request = {**inner, "limit": fetch, "with_payload": [key], "with_vector": False}
        hits = run(collection, read_query(request, collection))
        groups: dict[str | int, list[Any]] = {}
        for hit in hits:
            for group in group_ids(hit.payload, key):
                members = groups.setdefault(group, [])
                if len(members) < size:
                    members.append(hit)
        best = dict(list(groups.items())[:limit])
        full = len(best) == limit and all(len(members) == size for members in best.values())
        if full or fetch >= points or len(hits) < fetch:
            return _with_content(collection, best, inner)
        fetch = min(fetch * 4, points)


def _with_content(
    collection: Collection, groups: dict[str | int, list[Any]], body: JsonObject
) -> list[JsonObject]:
    shown: list[JsonObject] = [
        {"id": key, "hits": [scored(hit) for hit in hits]} for key, hits in groups.items()
    ]
    ids = [hit.id for hits in groups.values() for hit in hits]
    stored = collection.shard.retrieve(
        ids,
        read_with_payload(given(body, "with_payload"), default=False),
        read_with_vector(body, collection.specs),
    )
    by_id = {str(point.id): point for point in stored}
    for hit in [hit for group in shown for hit in group["hits"]]:
        hit.pop("payload", None)
        point = by_id.get(str(hit["id"]))
        if point is not None:
            content = record(point)
            hit.update({name: content[name] for name in ("payload", "vector") if name in content})
    return shown
