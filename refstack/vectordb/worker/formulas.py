"""Formulas that score points by their payload: JSON expressions to the engine's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge

from refstack.vectordb.checks import (
    JsonObject,
    as_list,
    as_number,
    as_object,
    as_text,
    given,
    required,
)
from refstack.vectordb.errors import format_error, from_engine
from refstack.vectordb.worker.filters import read_condition, read_geo_point

_Expression = edge.Expression
_DECAYS = {
    "lin_decay": edge.DecayKind.Lin,
    "exp_decay": edge.DecayKind.Exp,
    "gauss_decay": edge.DecayKind.Gauss,
}


def _many(make: Callable[[list[Any]], Any]) -> Callable[[object], Any]:
    return lambda value: make([_expression(item) for item in as_list(value, "formula")])


def _one(make: Callable[[Any], Any]) -> Callable[[object], Any]:
    return lambda value: make(_expression(value))


def _div(value: object) -> Any:
    fields = as_object(value, "formula.div", ("left", "right", "by_zero_default"))
    default = given(fields, "by_zero_default")
    return _Expression.Div(
        _expression(required(fields, "left")),
        _expression(required(fields, "right")),
        None if default is None else as_number(default, "formula.div.by_zero_default"),
    )


def _pow(value: object) -> Any:
    fields = as_object(value, "formula.pow", ("base", "exponent"))
    return _Expression.Pow(
        _expression(required(fields, "base")), _expression(required(fields, "exponent"))
    )


def _geo_distance(value: object) -> Any:
    fields = as_object(value, "formula.geo_distance", ("origin", "to"))
    origin = read_geo_point(required(fields, "origin"), "formula.geo_distance.origin")
    return _Expression.GeoDistance(origin, as_text(required(fields, "to"), "formula.to"))


def _decay(kind: Any) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        fields = as_object(value, "formula decay", ("x", "target", "scale", "midpoint"))
        target, scale, midpoint = (given(fields, name) for name in ("target", "scale", "midpoint"))
        return _Expression.Decay(
            kind,
            _expression(required(fields, "x")),
            None if target is None else _expression(target),
            None if midpoint is None else as_number(midpoint, "midpoint"),
            None if scale is None else as_number(scale, "scale"),
        )

    return read


_OPERATORS: dict[str, Callable[[object], Any]] = {
    "mult": _many(_Expression.Mult),
    "sum": _many(_Expression.Sum),
    "neg": _one(_Expression.Neg),
    "abs": _one(_Expression.Abs),
    "sqrt": _one(_Expression.Sqrt),
    "exp": _one(_Expression.Exp),
    "log10": _one(_Expression.Log10),
    "ln": _one(_Expression.Ln),
    "div": _div,
    "pow": _pow,
    "geo_distance": _geo_distance,
    "datetime": lambda value: _Expression.Datetime(as_text(value, "formula.datetime")),
    "datetime_key": lambda value: _Expression.DatetimeKey(as_text(value, "formula.datetime_key")),
    **{name: _decay(kind) for name, kind in _DECAYS.items()},
}
# What the engine's last minor version, which an upgrade begins with, does not have.
_NEWER: dict[str, tuple[Callable[[Any], Any], str]] = {
    "max": (_many, "Max"),
    "min": (_many, "Min"),
    "acosh": (_one, "Acosh"),
}
_OPERATORS |= {
    name: read(getattr(_Expression, kind))
    for name, (read, kind) in _NEWER.items()
    if hasattr(_Expression, kind)
}


def _expression(source: object) -> Any:
    if isinstance(source, str):
        return _Expression.Variable(source)
    if isinstance(source, dict):
        if len(source) == 1:
            ((name, value),) = source.items()
            if name in _OPERATORS:
                return _OPERATORS[name](value)
        return _Expression.Condition(read_condition(source, "formula"))
    if isinstance(source, bool | list | None):
        names = ", ".join(f"`{name}`" for name in _OPERATORS)
        raise format_error(f"a formula is a number, a variable, a condition or one of {names}")
    return _Expression.Constant(as_number(source, "formula"))


def read_formula(source: JsonObject) -> Any:
    """`{"formula": ..., "defaults": {...}}` of a query. Raises `ApiError`."""
    fields = as_object(source, "query", ("formula", "defaults"))
    defaults = as_object(fields.get("defaults") or {}, "defaults")
    try:
        return edge.Formula(_expression(fields["formula"]), defaults)
    except (ValueError, TypeError) as error:
        raise from_engine(error) from None
