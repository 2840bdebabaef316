"""The metric contract: what queries read is exported, with the right type and labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from harness.checks.promql import COUNTER_FUNCTIONS, GAUGE_FUNCTIONS, quantiles, reads

TARGET_LABELS = frozenset({"job", "instance"})
"""Labels that Prometheus itself puts on every series."""

MADE_BY_PROMETHEUS = {"up": "gauge", "ALERTS": "gauge", "ALERTS_FOR_STATE": "gauge"}


@dataclass
class Series:
    """One series name: its type, the labels seen on it (``None`` while it has no sample), the jobs
    that export it, the upper edges of a histogram's buckets, and the values of each label."""

    kind: str
    labels: set[str] | None = None
    jobs: set[str] = field(default_factory=set)
    edges: set[float] = field(default_factory=set)
    values: dict[str, set[str]] = field(default_factory=dict)


def catalogue(expositions: Mapping[str, str], recorded: Iterable[str] = ()) -> dict[str, Series]:
    """Return what is exported, by series name.

    ``expositions`` holds one or more texts of ``/metrics`` by job, joined by newlines; ``recorded``
    the names that recording rules make.

    Raises:
        ValueError: a text is not in the exposition format.
    """
    found = {name: Series(kind, set()) for name, kind in MADE_BY_PROMETHEUS.items()}
    found |= {name: Series("gauge", set()) for name in recorded}
    for job, text in expositions.items():
        for family in text_string_to_metric_families(text):
            for name, kind in _names(family.name, family.type):
                found.setdefault(name, Series(kind)).jobs.add(job)
            for sample in family.samples:
                series = found.setdefault(sample.name, Series(family.type))
                series.jobs.add(job)
                series.labels = (series.labels or set()) | set(sample.labels)
                for label, value in sample.labels.items():
                    series.values.setdefault(label, set()).add(value)
                if "le" in sample.labels:
                    series.edges.add(float(sample.labels["le"]))
    return found


def _names(family: str, kind: str) -> list[tuple[str, str]]:
    """The series that a family has even before its first sample."""
    if kind == "counter":
        return [(f"{family}_total", "counter")]
    if kind == "histogram":
        return [(f"{family}_{part}", "histogram") for part in ("bucket", "sum", "count")]
    return [(family, kind)]


def problems(query: str, known: Mapping[str, Series]) -> list[str]:
    """Return one sentence for each way in which the query reads what is not there.

    A series that is known by name and type alone, since nothing was measured yet, is judged by
    those. An empty list is a query that can be answered.
    """
    try:
        selectors = reads(query)
    except ValueError as error:
        return [str(error)]
    found = []
    for read in selectors:
        series = known.get(read.name)
        if series is None:
            found.append(f"reads {read.name or 'a series without a name'}, which nothing exports")
            continue
        if series.labels is not None:
            has = series.labels | TARGET_LABELS
            found += [
                f"names the label {label} of {read.name}, which has {', '.join(sorted(has))}"
                for label in sorted(read.labels - has - {"__name__"})
            ]
        found += _other_job(read.name, read.matched, series)
        found += _no_such_value(read.name, read.matched, series)
        if read.function in COUNTER_FUNCTIONS and series.kind not in ("counter", "histogram"):
            found.append(f"takes the {read.function} of {read.name}, which is a {series.kind}")
        if read.function in GAUGE_FUNCTIONS and series.kind in ("counter", "histogram"):
            found.append(f"takes the {read.function} of {read.name}, which is a {series.kind}")
    return found + _quantile_problems(query, known)


def _other_job(name: str, matched: tuple[tuple[str, str, str], ...], series: Series) -> list[str]:
    return [
        f"reads {name} of the job {value}, which exports none"
        for label, operator, value in matched
        if label == "job" and operator == "=" and series.jobs and value not in series.jobs
    ]


def _no_such_value(
    name: str, matched: tuple[tuple[str, str, str], ...], series: Series
) -> list[str]:
    """A gauge tells of each thing there is, at all times; a counter of what has happened."""
    found = []
    for label, operator, value in matched:
        there = series.values.get(label)
        if series.kind != "gauge" or not there or operator not in ("=", "=~"):
            continue
        if not any(
            each == value if operator == "=" else re.fullmatch(value, each) for each in there
        ):
            found.append(
                f"asks for {name} with {label}{operator}{value}, of which there is only "
                f"{', '.join(sorted(there))}"
            )
    return found


def _quantile_problems(query: str, known: Mapping[str, Series]) -> list[str]:
    found = []
    for quantile in quantiles(query):
        series = known.get(quantile.name)
        if series is not None and series.edges and quantile.limit not in series.edges:
            # Between two edges a quantile is a guess, and far from all it is another unit.
            edges = ", ".join(f"{edge:g}" for edge in sorted(series.edges))
            found.append(
                f"compares a quantile of {quantile.name} with {quantile.limit:g}, which is no edge "
                f"of its buckets ({edges})"
            )
    for read in reads(query):
        quantile_of = read.name.endswith("_bucket") and "histogram_quantile" in query
        if quantile_of and read.grouped and "le" not in read.grouped:
            found.append(f"takes a quantile of {read.name} and drops its label le")
    return found
