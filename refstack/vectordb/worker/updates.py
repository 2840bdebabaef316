"""Write operations: each is read in full, then applied by the engine in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from refstack.vectordb.checks import (
    JsonObject,
    as_choice,
    as_list,
    as_object,
    as_text,
    given,
    required,
)
from refstack.vectordb.errors import format_error, not_found, not_offered, only_known
from refstack.vectordb.worker.filters import read_filter, read_point_ids
from refstack.vectordb.worker.points import read_point_vectors, read_points, read_vector_names

if TYPE_CHECKING:
    from refstack.vectordb.worker.collection import Collection

Operation = Any
_MODES = {
    "upsert": edge.UpdateMode.Upsert,
    "insert_only": edge.UpdateMode.InsertOnly,
    "update_only": edge.UpdateMode.UpdateOnly,
}


class Update:
    """One operation of the engine, and the ids that must exist for it to be applied at all."""

    def __init__(
        self,
        operation: Operation | None,
        *,
        must_exist: list[Any] | None = None,
        upserted: int = 0,
        deletes: bool = False,
    ) -> None:
        self.operation = operation
        self.must_exist = must_exist or []
        self.upserted = upserted
        self.deletes = deletes

    def check(self, collection: Collection) -> None:
        """Raise `ApiError` 404 for a point that the operation needs and the collection lacks."""
        if not self.must_exist:
            return
        found = {
            str(point.id) for point in collection.shard.retrieve(self.must_exist, False, False)
        }
        for point_id in self.must_exist:
            if str(point_id) not in found:
                raise not_found(f"No point with id {point_id} found")


def _known(body: JsonObject, *names: str) -> None:
    only_known(body, (*names, "shard_key"), "the body")
    if body.get("shard_key") is not None:
        raise not_offered("shard_key")


def _selector(body: JsonObject) -> tuple[list[Any] | None, Any]:
    points, condition = given(body, "points"), given(body, "filter")
    if points is not None and condition is not None:
        raise format_error("`points` and `filter` exclude each other, give one of them")
    if points is not None:
        return read_point_ids(points), None
    if condition is not None:
        return None, read_filter(condition)
    raise format_error("missing field `points` or `filter`: one of them selects the points")


def _upsert(body: JsonObject, collection: Collection) -> Update:
    _known(body, "points", "batch", "update_filter", "update_mode")
    points = read_points(body, collection.specs)
    mode = given(body, "update_mode")
    return Update(
        edge.UpdateOperation.upsert_points(
            points,
            read_filter(given(body, "update_filter"), "update_filter"),
            None if mode is None else _MODES[as_choice(mode, tuple(_MODES), "update_mode")],
        )
        if points
        else None,
        upserted=len(points),
    )


def _delete(body: JsonObject, collection: Collection) -> Update:
    _known(body, "points", "filter")
    ids, condition = _selector(body)
    if ids is not None:
        return Update(edge.UpdateOperation.delete_points(ids), deletes=True)
    return Update(edge.UpdateOperation.delete_points_by_filter(condition), deletes=True)


def _write_payload(overwrite: bool) -> Callable[[JsonObject, Collection], Update]:
    by_ids = (
        edge.UpdateOperation.overwrite_payload if overwrite else edge.UpdateOperation.set_payload
    )
    by_filter = (
        edge.UpdateOperation.overwrite_payload_by_filter
        if overwrite
        else edge.UpdateOperation.set_payload_by_filter
    )

    def read(body: JsonObject, collection: Collection) -> Update:
        _known(body, "payload", "points", "filter", "key")
        payload = as_object(required(body, "payload"), "payload")
        key = given(body, "key")
        if key is not None:
            as_text(key, "key")
        ids, condition = _selector(body)
        if ids is not None:
            return Update(by_ids(ids, payload, key), must_exist=ids)
        return Update(by_filter(condition, payload, key))

    return read


def _delete_payload(body: JsonObject, collection: Collection) -> Update:
    _known(body, "keys", "points", "filter")
    keys = [as_text(key, "keys") for key in as_list(required(body, "keys"), "keys")]
    ids, condition = _selector(body)
    if ids is not None:
        return Update(edge.UpdateOperation.delete_payload(ids, keys), must_exist=ids)
    return Update(edge.UpdateOperation.delete_payload_by_filter(condition, keys))


def _clear_payload(body: JsonObject, collection: Collection) -> Update:
    _known(body, "points", "filter")
    ids, condition = _selector(body)
    if ids is not None:
        return Update(edge.UpdateOperation.clear_payload(ids), must_exist=ids)
    return Update(edge.UpdateOperation.clear_payload_by_filter(condition))


def _update_vectors(body: JsonObject, collection: Collection) -> Update:
    _known(body, "points", "update_filter")
    pairs = read_point_vectors(body, collection.specs)
    condition = read_filter(given(body, "update_filter"), "update_filter")
    vectors = [edge.PointVectors(point_id, vector) for point_id, vector in pairs]
    return Update(
        edge.UpdateOperation.update_vectors(vectors, condition) if vectors else None,
        must_exist=[point_id for point_id, _ in pairs],
        upserted=len(pairs),
    )


def _delete_vectors(body: JsonObject, collection: Collection) -> Update:
    _known(body, "points", "filter", "vector")
    names = read_vector_names(required(body, "vector"), collection.specs)
    ids, condition = _selector(body)
    if ids is not None:
        operation = edge.UpdateOperation.delete_vectors(ids, names)
        return Update(operation, must_exist=ids, deletes=True)
    return Update(edge.UpdateOperation.delete_vectors_by_filter(condition, names), deletes=True)


READERS: dict[str, Callable[[JsonObject, Collection], Update]] = {
    "upsert": _upsert,
    "delete": _delete,
    "set_payload": _write_payload(overwrite=False),
    "overwrite_payload": _write_payload(overwrite=True),
    "delete_payload": _delete_payload,
    "clear_payload": _clear_payload,
    "update_vectors": _update_vectors,
    "delete_vectors": _delete_vectors,
}


def read_batch(body: JsonObject, collection: Collection) -> list[Update]:
    """The operations of a batch update, all read before any is applied. Raises `ApiError`."""
    only_known(body, ("operations",), "the body")
    updates = []
    for item in as_list(required(body, "operations"), "operations"):
        fields = as_object(item, "an operation", tuple(READERS))
        if len(fields) != 1:
            names = ", ".join(f"`{name}`" for name in READERS)
            raise format_error(f"an operation must hold exactly one of {names}")
        ((name, inner),) = fields.items()
        updates.append(READERS[name](as_object(inner, name), collection))
    return updates
