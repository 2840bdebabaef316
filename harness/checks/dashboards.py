"""What a Grafana dashboard asks and promises: panels, units, thresholds, variables."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.checks.contract import Series
from harness.checks.contract import problems as query_problems

RATE_INTERVAL = "1m"
"""What stands in for ``$__rate_interval`` when a query is asked without Grafana."""

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})")
_LABEL_VALUES = re.compile(r"label_values\(\s*(?:(?P<series>.+?)\s*,\s*)?(?P<label>\w+)\s*\)")


@dataclass(frozen=True)
class Query:
    """One query of a panel, as written, and how its series are named."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel. ``limits`` are the values at which its colour changes, without the base."""

    dashboard: str
    number: int
    title: str
    kind: str
    unit: str
    limits: tuple[float, ...]
    thresholds_shown: bool
    queries: tuple[Query, ...]
    texts: Mapping[str, str]
    """What is shown in place of a value."""

    @property
    def name(self) -> str:
        """Dashboard and title, for messages."""
        return f"{self.dashboard}: {self.title}"


@dataclass(frozen=True)
class Variable:
    """A variable of a dashboard; ``query`` is empty for a data source."""

    name: str
    kind: str
    query: str

    @property
    def asks(self) -> tuple[str, str] | None:
        """Series (possibly none) and label of ``label_values``; ``None`` for anything else."""
        match = _LABEL_VALUES.fullmatch(self.query.strip())
        return None if match is None else (match["series"] or "", match["label"])


def panels(document: Mapping[str, Any]) -> list[Panel]:
    """Return every panel that asks something, those in rows included."""
    found = []
    for raw in _flat(document.get("panels", [])):
        if raw.get("type") in ("row", "text"):
            continue
        defaults = raw.get("fieldConfig", {}).get("defaults", {})
        steps = defaults.get("thresholds", {}).get("steps", [])
        style = defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode", "off")
        found.append(
            Panel(
                dashboard=str(document.get("uid", "")),
                number=int(raw.get("id", 0)),
                title=str(raw.get("title", "")),
                kind=str(raw.get("type", "")),
                unit=str(defaults.get("unit", "")),
                limits=tuple(float(s["value"]) for s in steps if s.get("value") is not None),
                thresholds_shown=raw.get("type") != "timeseries" or style != "off",
                queries=tuple(
                    Query(str(target.get("expr", "")), str(target.get("legendFormat", "")))
                    for target in raw.get("targets", [])
                ),
                texts={
                    value: str(shown.get("text", value))
                    for mapping in defaults.get("mappings", [])
                    if mapping.get("type") == "value"
                    for value, shown in mapping.get("options", {}).items()
                },
            )
        )
    return found


def variables(document: Mapping[str, Any]) -> list[Variable]:
    """Return the dashboard's variables."""
    found = []
    for raw in document.get("templating", {}).get("list", []):
        query = raw.get("query", "")
        text = query.get("query", "") if isinstance(query, Mapping) else str(query)
        found.append(Variable(str(raw.get("name", "")), str(raw.get("type", "")), text))
    return found


def shape_problems(document: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing that a dashboard lacks to be loaded and read."""
    found = [
        f"has no {name}"
        for name in ("uid", "title", "description", "schemaVersion", "tags")
        if not document.get(name)
    ]
    asked = panels(document)
    if not asked:
        found.append("has no panel")
    numbers = [panel.number for panel in asked]
    if len(set(numbers)) != len(numbers):
        found.append("has two panels of one id")
    for panel in asked:
        if not panel.title or not panel.unit or not panel.queries:
            found.append(f"{panel.title or panel.number}: lacks a title, a unit or a query")
        if panel.limits and not panel.thresholds_shown:
            found.append(f"{panel.title}: has thresholds and does not show them")
    names = {variable.name for variable in variables(document)} | {"__rate_interval"}
    for panel in asked:
        for query in panel.queries:
            unknown = {a or b for a, b in _VARIABLE.findall(query.expression)} - names
            found += [f"{panel.title}: uses the unknown variable {name}" for name in unknown]
    for raw in _flat(document.get("panels", [])):
        source = raw.get("datasource", {}).get("uid", "")
        if raw.get("type") not in ("row", "text") and source != "${datasource}":
            found.append(f"{raw.get('title')}: is tied to one data source, {source or 'none'}")
    return found


def resolved(expression: str, values: Mapping[str, tuple[str, ...]]) -> str:
    """Return the query as Grafana would send it with all values of each variable chosen.

    Raises:
        ValueError: a variable has no value.
    """

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name == "__rate_interval":
            return RATE_INTERVAL
        chosen = values.get(name, ())
        if not chosen:
            raise ValueError(f"the variable {name} has no value")
        escaped = [re.escape(value).replace("\\", "\\\\").replace("\\\\-", "-") for value in chosen]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _VARIABLE.sub(put, expression)


def panel_problems(
    panel: Panel, values: Mapping[str, tuple[str, ...]], known: Mapping[str, Series]
) -> list[str]:
    """Return one sentence for each way in which a panel's queries read what is not there."""
    found = []
    for query in panel.queries:
        try:
            expression = resolved(query.expression, values)
        except ValueError as error:
            found.append(f"{panel.name}: {error}")
            continue
        found += [f"{panel.name}: {problem}" for problem in query_problems(expression, known)]
    return found


def has_data(result: list[dict[str, Any]]) -> bool:
    """Whether an answer of Prometheus's range query holds one number that is one."""
    return any(
        math.isfinite(float(value)) for series in result for _, value in series.get("values", [])
    )


def _flat(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for panel in raw for each in (panel, *_flat(panel.get("panels", [])))]
