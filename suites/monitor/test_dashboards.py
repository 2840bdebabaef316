"""monitor/dashboards: the three dashboards show what they promise on a live stack."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from fixtures.dashboards import Prometheus, preview
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.dashboards import (
    Panel,
    has_data,
    panel_problems,
    panels,
    resolved,
    shape_problems,
)
from harness.core.evidence import Evidence
from harness.drivers.grafana import Grafana, provisioning

GUIDE = {
    "rag-ov": ("RAG Overview", "owner:SRE"),
    "gpu-util": ("GPU Utilisation", "owner:SRE"),
    "qdr-stor": ("Qdrant Storage & Shards", "owner:DBRE"),
}
"""Uid, title and owner: the table of guide 3.1."""

OBJECTIVES: tuple[tuple[str, str, str, str, float], ...] = (
    ("rag-ov", "Query latency", "rag_gateway_query_latency_seconds_bucket", "s", 0.25),
    ("rag-ov", "Server errors", "rag_gateway_requests_total", "percentunit", 0.005),
    ("gpu-util", "Utilisation", "DCGM_FI_DEV_GPU_UTIL", "percent", 80.0),
    ("qdr-stor", "Points", "rag_vectordb_points", "short", 15_000_000.0),
    ("qdr-stor", "Backup bucket", "rag_backup_bucket_used_bytes", "percentunit", 0.7),
)
"""Dashboard, panel, series, unit, and the figure of the guide (3.2, 7) or of guide/slo.yaml that
the panel's colour changes at."""

QUESTIONS = 4
SETTLE_S = 15.0


@conformance("monitor/dashboards", since="0.2")
@needs("read")
def test_the_three_are_there_with_thresholds_at_the_objectives(
    dashboards: Mapping[str, dict[str, Any]], evidence: Evidence
) -> None:
    """The three dashboards MUST be provisioned by uid, title and owner, whole enough to be loaded,
    and their colours MUST change at the objectives, in the objectives' units."""
    actual = {
        uid: (document["title"], [tag for tag in document["tags"] if tag.startswith("owner:")])
        for uid, document in dashboards.items()
    }
    evidence.require(
        "uid, title and owner are those of the guide",
        actual == {uid: (title, [owner]) for uid, (title, owner) in GUIDE.items()},
        expected=GUIDE,
        actual=actual,
    )
    for uid, document in dashboards.items():
        problems = shape_problems(document)
        evidence.require(
            f"{uid} can be loaded and read", not problems, expected="no fault", actual=problems
        )
    told = {name: yaml.safe_load(text) for name, text in provisioning().items()}
    providers = [p for document in told.values() for p in document.get("providers", [])]
    sources = [d for document in told.values() for d in document.get("datasources", [])]
    evidence.require(
        "Grafana is told where the dashboards lie and whom they ask",
        any(p["options"].get("path") for p in providers)
        and any(d["type"] == "prometheus" and d.get("isDefault") for d in sources),
        expected="a file provider and a default Prometheus data source",
        actual=sorted(told),
    )
    for uid, title, series, unit, limit in OBJECTIVES:
        panel = _panel(dashboards, uid, title)
        asks = panel is not None and any(series in q.expression for q in panel.queries)
        evidence.require(
            f"{uid}: {title} changes colour at {limit:g}, in the unit {unit!r}",
            panel is not None and asks and panel.unit == unit and limit in panel.limits,
            expected=f"a panel of {series}, unit {unit}, threshold {limit:g}",
            actual="no such panel" if panel is None else f"unit {panel.unit}, {panel.limits}",
        )


def _panel(dashboards: Mapping[str, dict[str, Any]], uid: str, title: str) -> Panel | None:
    found = [panel for panel in panels(dashboards.get(uid, {})) if panel.title == title]
    return found[0] if found else None


@pytest.fixture
def use(new_tenant: Callable[..., Tenant], connect: Connect) -> Callable[[], None]:
    """Use the stack as its customers do: write a document, ask a few questions."""
    gateway = connect(new_tenant("shown", ("work",)).token)
    numbers = itertools.count(1)

    def some() -> None:
        text = f"The lamp on floor {next(numbers)} of the stairwell is out again."
        gateway.put_document("work", text).expect(201)
        for _ in range(QUESTIONS):
            gateway.query(f"Which lamp is out? I am on floor {next(numbers)}.", "work").expect(200)

    some()
    return some


@conformance("monitor/dashboards", since="0.2")
@needs("read", "write", roles=["edge", "metrics"])
def test_every_panel_shows_data_on_a_live_stack(
    dashboards: Mapping[str, dict[str, Any]],
    prometheus: Prometheus,
    grafana: Grafana | None,
    use: Callable[[], None],
    evidence: Evidence,
) -> None:
    """Every query of every panel MUST parse, name only series and labels that the stack exports,
    and return data on a live stack with every value of every variable chosen."""
    if grafana is not None:
        _expect_loaded(grafana, dashboards, evidence)
    known = prometheus.known()
    deadline = time.monotonic() + SETTLE_S
    for uid, document in dashboards.items():
        values = prometheus.values(document)
        while not all(values.values()) and time.monotonic() < deadline:
            time.sleep(0.5)
            values = prometheus.values(document)
        empty = sorted(name for name, found in values.items() if not found)
        evidence.require(
            f"{uid}: every variable has values", not empty, expected="none empty", actual=empty
        )
        asked = panels(document)
        problems = [p for panel in asked for p in panel_problems(panel, values, known)]
        evidence.require(
            f"{uid}: the queries of {len(asked)} panels parse and read what is exported",
            not problems,
            expected="no unknown series, no unknown label",
            actual=problems,
        )
        waiting = [
            (panel.name, resolved(query.expression, values))
            for panel in asked
            for query in panel.queries
        ]
        count = len(waiting)
        while waiting and time.monotonic() < deadline:
            waiting = [each for each in waiting if not has_data(prometheus.range(each[1]))]
            if waiting:
                use()
                time.sleep(0.5)
        evidence.require(
            f"{uid}: each of {count} queries returns data",
            not waiting,
            expected="at least one number each",
            actual=waiting,
        )
        told = {raw["id"]: raw.get("description", "") for raw in document["panels"]}
        shown = [preview(panel, told[panel.number], values, prometheus) for panel in asked]
        evidence.dashboard(uid, document["title"], shown)


def _expect_loaded(
    grafana: Grafana, dashboards: Mapping[str, dict[str, Any]], evidence: Evidence
) -> None:
    """A target's own Grafana has loaded the shipped dashboards from files, and can ask."""
    for uid, document in dashboards.items():
        loaded = grafana.dashboard(uid)
        shown, from_file = loaded if loaded is not None else ({}, False)
        same = [
            (panel.title, panel.unit, [query.expression for query in panel.queries])
            for panel in panels(shown)
        ] == [
            (panel.title, panel.unit, [query.expression for query in panel.queries])
            for panel in panels(document)
        ]
        evidence.require(
            f"{uid}: Grafana shows what is shipped, loaded from its file",
            same and from_file and shown.get("title") == document["title"],
            expected=f"{document['title']}, provisioned, panel by panel",
            actual="not loaded" if loaded is None else {"same": same, "from a file": from_file},
        )
    kind, state = grafana.default_source()
    evidence.require(
        "Grafana reaches the Prometheus that the panels ask",
        (kind, state) == ("prometheus", "OK"),
        expected="prometheus, OK",
        actual=f"{kind}, {state}",
    )
