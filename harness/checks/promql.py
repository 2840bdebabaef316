"""What a PromQL query reads: which series, by which labels, through which functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

COUNTER_FUNCTIONS = frozenset({"rate", "irate", "increase", "resets"})
"""Functions that mean something for counters (and buckets, sums and counts of histograms) only."""

GAUGE_FUNCTIONS = frozenset({"delta", "idelta", "deriv", "predict_linear", "holt_winters"})
"""Functions that mean something for gauges only."""


@dataclass(frozen=True)
class Read:
    """One selector of a query.

    ``matched`` are the labels in braces, as (label, operator, value); ``grouped`` those that an
    aggregation or a vector matching around the selector names. ``function`` is the innermost call
    around it, ``""`` for none.
    """

    name: str
    matched: tuple[tuple[str, str, str], ...]
    grouped: tuple[str, ...]
    function: str

    @property
    def labels(self) -> frozenset[str]:
        """Every label that the query needs this series to have."""
        return frozenset(self.grouped) | {label for label, _, _ in self.matched}


@dataclass(frozen=True)
class Quantile:
    """A quantile that a query compares with a number: the histogram's series and the number."""

    name: str
    limit: float


def reads(query: str) -> list[Read]:
    """Return every selector of the query, in the order in which they stand.

    Raises:
        ValueError: the query is no PromQL; the message says where.
    """
    return list(_walk(_parsed(query), (), ""))


def quantiles(query: str) -> list[Quantile]:
    """Return each quantile of a histogram that the query compares with a number.

    Raises:
        ValueError: the query is no PromQL; the message says where.
    """
    found = []
    for node in _nodes(_parsed(query)):
        if type(node).__name__ == "BinaryExpr" and type(node.rhs).__name__ == "NumberLiteral":
            names = {read.name for read in _walk(node.lhs, (), "")}
            called = any(
                type(inner).__name__ == "Call" and inner.func.name == "histogram_quantile"
                for inner in _nodes(node.lhs)
            )
            if called:
                found += [Quantile(name, float(node.rhs.val)) for name in sorted(names)]
    return found


def _parsed(query: str) -> Any:
    try:
        return promql_parser.parse(query)
    except Exception as error:
        # The parser's own exceptions are of the plainest kind.
        raise ValueError(f"no PromQL: {error}") from error


def _walk(node: Any, grouped: tuple[str, ...], function: str) -> Iterator[Read]:
    match type(node).__name__:
        case "VectorSelector":
            yield _read(node, grouped, function)
        case "MatrixSelector":
            yield _read(node.vector_selector, grouped, function)
        case "Call":
            for argument in node.args:
                yield from _walk(argument, grouped, node.func.name)
        case "AggregateExpr":
            modifier = node.modifier
            named = tuple(modifier.labels) if modifier is not None and _is_by(modifier) else ()
            yield from _walk(node.expr, (*grouped, *named), function)
        case _:
            for child in _children(node):
                yield from _walk(child, grouped, function)


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _children(node: Any) -> list[Any]:
    match type(node).__name__:
        case "Call":
            return list(node.args)
        case "BinaryExpr":
            return [node.lhs, node.rhs]
        case "AggregateExpr" | "SubqueryExpr" | "ParenExpr" | "UnaryExpr":
            return [node.expr]
        case "VectorSelector" | "MatrixSelector" | "NumberLiteral" | "StringLiteral":
            return []
        case other:
            raise ValueError(f"a part of a query that is not understood: {other}")


def _is_by(modifier: Any) -> bool:
    return "by" in str(modifier.type).lower()


def _read(selector: Any, grouped: tuple[str, ...], function: str) -> Read:
    matched = tuple((m.name, _OPERATORS[str(m.op)], m.value) for m in selector.matchers.matchers)
    name = selector.name
    if name is None:
        name = next((value for label, op, value in matched if (label, op) == ("__name__", "=")), "")
    return Read(name, matched, grouped, function)


_OPERATORS = {
    str(getattr(promql_parser.MatchOp, each)): symbol
    for each, symbol in (("Equal", "="), ("NotEqual", "!="), ("Re", "=~"), ("NotRe", "!~"))
}
