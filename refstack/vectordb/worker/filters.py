"""From the JSON of a filter to the engine's filter, refusing what it would not understand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge

from refstack.vectordb.checks import (
    JsonObject,
    as_bool,
    as_int,
    as_list,
    as_number,
    as_object,
    as_text,
    given,
    one_or_many,
    required,
)
from refstack.vectordb.errors import ApiError, format_error

PointId = Any


class _EngineBool:
    """A boolean that the engine's binding takes for one.

    It tries integer before boolean, and a Python bool passes as an integer, so that `true` would
    match the number 1 and never a boolean. The binding also knows numpy's boolean, by its name,
    and that one passes as nothing else.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bool) -> None:
        self._value = value

    def __bool__(self) -> bool:
        return self._value


_EngineBool.__module__, _EngineBool.__name__ = "numpy", "bool_"

_CLAUSES = ("must", "should", "must_not", "min_should")
_I64 = 2**63


def read_point_id(value: object) -> PointId:
    """A point id as the engine takes it: an unsigned integer or a UUID in any usual spelling."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return value
    if isinstance(value, str):
        try:
            return edge.PointVectors(value, []).id
        except (ValueError, TypeError):
            pass
    raise format_error(
        f"value {value if isinstance(value, str | int | float) else type(value).__name__} is not a "
        "valid point ID, valid values are either an unsigned integer or a UUID"
    )


def read_point_ids(value: object, where: str = "points") -> list[PointId]:
    """A list of point ids."""
    return [read_point_id(item) for item in as_list(value, where)]


def read_filter(source: object, where: str = "filter") -> edge.Filter | None:
    """A filter, or None for null. Raises `ApiError` 400 for anything not understood."""
    if source is None:
        return None
    fields = as_object(source, where, _CLAUSES)

    def clause(name: str) -> list[Any] | None:
        value = given(fields, name)
        if value is None:
            return None
        return [_condition(item, f"{where}.{name}") for item in one_or_many(value)]

    minimum = None
    if given(fields, "min_should") is not None:
        inner = as_object(fields["min_should"], f"{where}.min_should", ("conditions", "min_count"))
        conditions = as_list(required(inner, "conditions"), f"{where}.min_should.conditions")
        minimum = edge.MinShould(
            [_condition(item, f"{where}.min_should") for item in conditions],
            as_int(required(inner, "min_count"), f"{where}.min_should.min_count"),
        )
    return edge.Filter(
        must=clause("must"),
        should=clause("should"),
        must_not=clause("must_not"),
        min_should=minimum,
    )


def _built(build: Callable[[], Any]) -> Any:
    try:
        return build()
    except (ValueError, TypeError, OverflowError) as error:
        raise format_error(str(error).splitlines()[0]) from None


def read_condition(source: object, where: str = "condition") -> Any:
    """One condition of a filter."""
    return _condition(source, where)


def _condition(source: object, where: str) -> Any:
    fields = as_object(source, where)
    if "key" in fields:
        return _field_condition(fields, where)
    if any(name in fields for name in _CLAUSES):
        return read_filter(fields, where)
    if len(fields) == 1:
        ((name, value),) = fields.items()
        if name == "has_id":
            return edge.HasIdCondition(set(read_point_ids(value, f"{where}.has_id")))
        if name in ("is_empty", "is_null"):
            inner = as_object(value, f"{where}.{name}", ("key",))
            key = as_text(required(inner, "key"), f"{where}.{name}.key")
            made = edge.IsEmptyCondition if name == "is_empty" else edge.IsNullCondition
            return _built(lambda: made(key))
        if name == "has_vector":
            return edge.HasVectorCondition(as_text(value, f"{where}.has_vector"))
        if name == "nested":
            inner = as_object(value, f"{where}.nested", ("key", "filter"))
            key = as_text(required(inner, "key"), f"{where}.nested.key")
            nested = read_filter(required(inner, "filter"), f"{where}.nested.filter")
            if nested is None:
                raise format_error(f"missing field `filter` in {where}.nested")
            return _built(lambda: edge.NestedCondition(key, nested))
        if name == "slice":
            inner = as_object(value, f"{where}.slice", ("total", "index"))
            total = as_int(required(inner, "total"), f"{where}.slice.total", 1, 2**32 - 1)
            index = as_int(required(inner, "index"), f"{where}.slice.index", 0, total - 1)
            return _built(lambda: edge.SliceCondition(total, index))  # type: ignore[attr-defined]
    names = "`key`, `is_empty`, `is_null`, `has_id`, `has_vector`, `nested`, `slice`, " + ", ".join(
        f"`{name}`" for name in _CLAUSES
    )
    raise format_error(
        f"{where} with {sorted(fields)} is not a condition, expected exactly one of {names}"
    )


_TESTS: dict[str, Callable[[object, str], Any]] = {}


def _field_condition(fields: JsonObject, where: str) -> Any:
    as_object(fields, where, ("key", *_TESTS))
    key = as_text(fields["key"], f"{where}.key")
    tests = {
        name: _TESTS[name](value, f"{where}.{name}")
        for name, value in fields.items()
        if name != "key" and value is not None
    }
    if not tests:
        names = ", ".join(f"`{name}`" for name in _TESTS)
        raise ApiError(
            422,
            f"Validation error in JSON body: [{where}: at least one field condition must be "
            f"specified for `{key}`, one of {names}]",
        )
    return _built(lambda: edge.FieldCondition(key, **tests))


def _scalar(value: object, where: str) -> Any:
    if isinstance(value, bool):
        return _EngineBool(value)
    if isinstance(value, str) or (isinstance(value, int) and -_I64 <= value < _I64):
        return value
    raise format_error(f"{where} takes a string, a 64-bit integer or a boolean, got {value!r}")


def _scalars(value: object, where: str) -> list[Any]:
    items = as_list(value, where)
    texts = all(isinstance(item, str) for item in items)
    numbers = all(
        isinstance(item, int) and not isinstance(item, bool) and -_I64 <= item < _I64
        for item in items
    )
    if not (texts or numbers):
        raise format_error(f"{where} takes a list of strings or a list of 64-bit integers")
    return items


_MATCHES: dict[str, Callable[[object, str], Any]] = {
    "value": lambda value, where: edge.MatchValue(_scalar(value, where)),
    "text": lambda value, where: edge.MatchText(as_text(value, where)),
    "text_any": lambda value, where: edge.MatchTextAny(as_text(value, where)),
    "phrase": lambda value, where: edge.MatchPhrase(as_text(value, where)),
    "prefix": lambda value, where: edge.MatchPrefix(as_text(value, where)),
    "substring": lambda value, where: edge.MatchSubstring(as_text(value, where)),
    "any": lambda value, where: edge.MatchAny(_scalars(value, where)),
    "except": lambda value, where: edge.MatchExcept(_scalars(value, where)),
}


def _match(source: object, where: str) -> Any:
    fields = as_object(source, where, tuple(_MATCHES))
    if len(fields) != 1:
        names = ", ".join(f"`{name}`" for name in _MATCHES)
        raise format_error(f"{where} must hold exactly one of {names}")
    ((name, value),) = fields.items()
    return _MATCHES[name](value, f"{where}.{name}")


def _range(source: object, where: str) -> Any:
    bounds = {
        name: value
        for name, value in as_object(source, where, ("lt", "gt", "lte", "gte")).items()
        if value is not None
    }
    if bounds and all(isinstance(value, str) for value in bounds.values()):
        return _built(lambda: edge.RangeDateTime(**bounds))
    numbers = {name: _bound(value, f"{where}.{name}") for name, value in bounds.items()}
    return edge.RangeFloat(**numbers)


def _bound(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise format_error(f"{where} takes a number, or a date-time where all bounds are such")
    return float(value)


def _values_count(source: object, where: str) -> Any:
    fields = as_object(source, where, ("lt", "gt", "lte", "gte"))
    read = {n: as_int(v, f"{where}.{n}") for n, v in fields.items() if v is not None}
    return edge.ValuesCount(**read)


def read_geo_point(source: object, where: str) -> Any:
    """`{"lon": ..., "lat": ...}` in degrees."""
    fields = as_object(source, where, ("lon", "lat"))
    lon = as_number(required(fields, "lon"), f"{where}.lon")
    lat = as_number(required(fields, "lat"), f"{where}.lat")
    return _built(lambda: edge.GeoPoint(lon, lat))


def _geo_box(source: object, where: str) -> Any:
    fields = as_object(source, where, ("top_left", "bottom_right"))
    corners = [
        read_geo_point(required(fields, name), f"{where}.{name}")
        for name in ("top_left", "bottom_right")
    ]
    return edge.GeoBoundingBox(*corners)


def _geo_radius(source: object, where: str) -> Any:
    fields = as_object(source, where, ("center", "radius"))
    center = read_geo_point(required(fields, "center"), f"{where}.center")
    return edge.GeoRadius(center, as_number(required(fields, "radius"), f"{where}.radius"))


def _geo_polygon(source: object, where: str) -> Any:
    fields = as_object(source, where, ("exterior", "interiors"))

    def ring(value: object, name: str) -> list[Any]:
        points = as_list(as_object(value, name, ("points",)).get("points"), f"{name}.points")
        return [read_geo_point(point, f"{name}.points") for point in points]

    exterior = ring(required(fields, "exterior"), f"{where}.exterior")
    interiors = [ring(item, f"{where}.interiors") for item in fields.get("interiors") or []]
    return _built(lambda: edge.GeoPolygon(exterior, interiors or None))


_TESTS.update(
    match=_match,
    range=_range,
    geo_bounding_box=_geo_box,
    geo_radius=_geo_radius,
    geo_polygon=_geo_polygon,
    values_count=_values_count,
    is_empty=as_bool,
    is_null=as_bool,
)
