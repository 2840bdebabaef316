"""Points and vectors of a request, checked in full before the engine sees any of them.

The engine writes an operation to its log before it looks at it. One that fails half way is
replayed at the next start and then ends differently, so nothing that can fail may reach it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge

from refstack.vectordb.checks import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    given,
    kind,
    required,
)
from refstack.vectordb.config import dense_vectors
from refstack.vectordb.errors import format_error, not_offered, validation_error, wrong_input
from refstack.vectordb.worker.filters import read_point_id

_NUMBERS = frozenset({int, float})
_LARGEST = 3.4028235e38
_INFERENCE = ("text", "image", "model", "object", "options")


@dataclass(frozen=True)
class VectorSpec:
    """What a vector of one name must look like: `dimension` is 0 for a sparse vector."""

    name: str
    dimension: int
    multi: bool = False

    @property
    def sparse(self) -> bool:
        """Whether it is given as indices and values."""
        return self.dimension == 0


def vector_specs(config: JsonObject) -> dict[str, VectorSpec]:
    """Every vector of a collection configuration by name."""
    specs = {
        name: VectorSpec(name, vector["size"], "multivector_config" in vector)
        for name, vector in dense_vectors(config["params"]).items()
    }
    for name in config["params"].get("sparse_vectors") or {}:
        specs[name] = VectorSpec(name, 0)
    return specs


def _check_dense(value: list[Any], spec: VectorSpec) -> list[float]:
    if len(value) != spec.dimension:
        raise wrong_input(
            f"Vector dimension error: expected dim: {spec.dimension}, got {len(value)}"
        )
    _check_numbers(value)
    return value


def _check_numbers(value: list[Any]) -> None:
    if not _NUMBERS.issuperset(map(type, value)):
        odd = next(item for item in value if type(item) not in _NUMBERS)
        raise format_error(f"invalid type: {kind(odd)}, expected a number in a vector")
    if value and not (min(value) >= -_LARGEST and max(value) <= _LARGEST):
        raise wrong_input("a vector must hold finite numbers of single precision only")


def _check_sparse(value: object) -> edge.SparseVector:
    fields = as_object(value, "a sparse vector", ("indices", "values"))
    indices = as_list(required(fields, "indices"), "indices")
    values = as_list(required(fields, "values"), "values")
    if len(indices) != len(values):
        raise validation_error("values", "must be the same length as indices")
    for index in indices:
        if type(index) is not int or not 0 <= index < 2**32:
            raise format_error(f"sparse index {index!r} is not a number from 0 to {2**32 - 1}")
    if len(set(indices)) != len(indices):
        raise validation_error("indices", "must be unique")
    _check_numbers(values)
    order = sorted(range(len(indices)), key=indices.__getitem__)
    return edge.SparseVector([indices[at] for at in order], [float(values[at]) for at in order])


def read_vector(value: object, spec: VectorSpec) -> Any:
    """One vector as the engine takes it: list, list of lists or sparse. Raises `ApiError`."""
    if isinstance(value, dict) and any(name in value for name in _INFERENCE):
        raise not_offered("inference (a text or an image in place of a vector)")
    if isinstance(value, str):
        raise not_offered("a base64 vector, or inference,")
    if spec.sparse:
        if not isinstance(value, dict):
            raise wrong_input(f"Conversion between sparse and regular vectors failed: {spec.name}")
        return _check_sparse(value)
    if isinstance(value, dict):
        raise wrong_input(f"Conversion between sparse and regular vectors failed: {spec.name}")
    items = as_list(value, "a vector")
    nested = bool(items) and isinstance(items[0], list)
    if spec.multi:
        rows = items if nested else [items]
        if not rows or not rows[0]:
            raise validation_error("vector", "a multivector must hold at least one vector")
        return [_check_dense(as_list(row, "a multivector"), spec) for row in rows]
    if nested:
        raise wrong_input("Conversion between multi and regular vectors failed")
    return _check_dense(items, spec)


def read_vectors(value: object, specs: dict[str, VectorSpec]) -> Any:
    """The vectors of one point: an unnamed one, or several by name. Raises `ApiError`."""
    if isinstance(value, dict) and not ("indices" in value and "values" in value):
        if any(name in value and name not in specs for name in _INFERENCE):
            raise not_offered("inference (a text or an image in place of a vector)")
        return {name: read_vector(item, spec_of(name, specs)) for name, item in value.items()}
    return read_vector(value, spec_of("", specs))


def spec_of(name: str, specs: dict[str, VectorSpec]) -> VectorSpec:
    """What the vector `name` must look like. Raises `ApiError` 400 when there is none."""
    spec = specs.get(name)
    if spec is None:
        names = ", ".join(f"`{known}`" for known in specs) or "none"
        hint = "" if name in specs else f" (this collection has {names})"
        raise wrong_input(f"Not existing vector name error: {name}{hint}")
    return spec


def _read_payload(value: object) -> JsonObject | None:
    return None if value is None else as_object(value, "payload")


def read_points(body: JsonObject, specs: dict[str, VectorSpec]) -> list[edge.Point]:
    """The points of an upsert in either of its two shapes. Raises `ApiError`."""
    if "batch" in body:
        return _read_batch(as_object(body["batch"], "batch", ("ids", "vectors", "payloads")), specs)
    points = []
    unnamed = specs.get("")
    plain = unnamed is not None and not unnamed.sparse and not unnamed.multi
    for item in as_list(required(body, "points"), "points"):
        fields = as_object(item, "a point", ("id", "vector", "payload"))
        vector = required(fields, "vector")
        if plain and unnamed is not None and type(vector) is list:
            checked = read_vector(vector, unnamed)
        else:
            checked = read_vectors(vector, specs)
        points.append(_point(required(fields, "id"), checked, given(fields, "payload")))
    return points


def _point(point_id: Any, vector: Any, payload: object) -> edge.Point:
    # The engine's own reader takes a Python bool for the id 0 or 1.
    plain = type(point_id) is int and 0 <= point_id < 2**64
    checked = point_id if plain else read_point_id(point_id)
    return edge.Point(checked, vector, _read_payload(payload))


def _read_batch(batch: JsonObject, specs: dict[str, VectorSpec]) -> list[edge.Point]:
    ids = as_list(required(batch, "ids"), "batch.ids")
    vectors = required(batch, "vectors")
    columns: list[Any]
    if isinstance(vectors, dict):
        by_name = {
            name: [read_vector(v, spec_of(name, specs)) for v in as_list(column, "batch.vectors")]
            for name, column in vectors.items()
        }
        if any(len(column) != len(ids) for column in by_name.values()):
            raise validation_error("batch", "number of ids and vectors must be equal")
        columns = [{name: column[at] for name, column in by_name.items()} for at in range(len(ids))]
    else:
        columns = [read_vectors(v, specs) for v in as_list(vectors, "batch.vectors")]
        if len(columns) != len(ids):
            raise validation_error(
                "batch", f"number of ids and vectors must be equal ({len(ids)} != {len(columns)})"
            )
    payloads = as_list(batch.get("payloads") or [None] * len(ids), "batch.payloads")
    if len(payloads) != len(ids):
        raise validation_error(
            "batch", f"number of ids and payloads must be equal ({len(ids)} != {len(payloads)})"
        )
    return [_point(*row) for row in zip(ids, columns, payloads, strict=True)]


def read_point_vectors(body: JsonObject, specs: dict[str, VectorSpec]) -> list[tuple[Any, Any]]:
    """`points` of an update of vectors: pairs of id and vectors. Raises `ApiError`."""
    pairs = []
    for item in as_list(required(body, "points"), "points"):
        fields = as_object(item, "a point", ("id", "vector"))
        vector = read_vectors(required(fields, "vector"), specs)
        pairs.append((read_point_id(required(fields, "id")), vector))
    return pairs


def read_vector_names(value: object, specs: dict[str, VectorSpec]) -> list[str]:
    """Names of vectors that the collection has. Raises `ApiError`."""
    names = [as_text(name, "vector") for name in as_list(value, "vector")]
    if not names:
        raise validation_error("vector", "must specify vector names")
    return [spec_of(name, specs).name for name in names]
