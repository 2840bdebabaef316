"""From the engine's points to the JSON of the API."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson
import qdrant_edge as edge

from refstack.vectordb.checks import JsonObject, as_bool, as_list, as_object, as_text
from refstack.vectordb.errors import format_error

_SINGLE = struct.Struct("<f")


def shortest(value: float) -> float:
    """The shortest decimal that is this single-precision number, as the real server writes it."""
    packed = _SINGLE.pack(value)
    for digits in range(6, 9):
        candidate = float(f"{value:.{digits}g}")
        if _SINGLE.pack(candidate) == packed:
            return candidate
    return float(f"{value:.9g}")


@cache
def _numpy() -> Any:
    # Only answers with vectors need it, and it is a third of an idle worker's memory.
    import numpy

    return numpy


def _vector(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _vector(item) for name, item in value.items()}
    if isinstance(value, edge.SparseVector):
        return {"indices": value.indices, "values": [shortest(item) for item in value.values]}
    numpy = _numpy()
    return numpy.asarray(value, dtype=numpy.float32)


def point_id(value: Any) -> int | str:
    """An id as JSON: an integer, or a UUID in lower case with hyphens."""
    return value if isinstance(value, int) else str(value)


def record(point: Any) -> JsonObject:
    """A stored point."""
    shown: JsonObject = {"id": point_id(point.id)}
    if point.payload is not None:
        shown["payload"] = point.payload
    if point.vector is not None:
        shown["vector"] = _vector(point.vector)
    if point.order_value is not None:
        shown["order_value"] = point.order_value
    return shown


def scored(point: Any) -> JsonObject:
    """A point that a query found."""
    shown: JsonObject = {
        "id": point_id(point.id),
        "version": point.version,
        "score": shortest(point.score),
    }
    if point.payload is not None:
        shown["payload"] = point.payload
    if point.vector is not None:
        shown["vector"] = _vector(point.vector)
    if point.order_value is not None:
        shown["order_value"] = point.order_value
    return shown


def dumps(value: Any) -> bytes:
    """JSON of an answer; single-precision vectors keep their shortest form."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def read_with_payload(value: object, default: bool) -> Any:
    """`with_payload`: a boolean, a list of keys, or `{"include"|"exclude": [...]}`."""
    if value is None:
        return default
    if isinstance(value, dict):
        fields = as_object(value, "with_payload", ("include", "exclude"))
        if len(fields) != 1:
            raise format_error("with_payload must hold exactly one of `include`, `exclude`")
        ((name, keys),) = fields.items()
        select = edge.PayloadSelector.Include if name == "include" else edge.PayloadSelector.Exclude
        return _selected(select, keys)
    if isinstance(value, list):
        return _selected(edge.PayloadSelector.Include, value)
    return as_bool(value, "with_payload")


def _selected(select: Any, keys: object) -> Any:
    names = [as_text(key, "with_payload") for key in as_list(keys, "with_payload")]
    try:
        return select(names)
    except (ValueError, TypeError) as error:
        raise format_error(str(error)) from None


def read_with_vector(source: JsonObject, known: Iterable[str]) -> Any:
    """`with_vector` (or `with_vectors`): a boolean or a list of vector names."""
    value = source.get("with_vector", source.get("with_vectors"))
    if value is None:
        return False
    if isinstance(value, list):
        names = [as_text(name, "with_vector") for name in value]
        missing = [name for name in names if name not in set(known)]
        if missing:
            raise format_error(f"with_vector names `{missing[0]}`, which this collection lacks")
        return names
    return as_bool(value, "with_vector")
