"""playbook/latency: the fallback step, not luck or time, ends a slow embedding incident."""

from __future__ import annotations

import pytest

from chaos.playbooks.latency import LATENCY
from fixtures.incident import Cause, Incident, Latency
from fixtures.scenario import Scenario
from harness import conformance, needs
from harness.core.guide import load_objectives

ALERT = "RAG_P95_Latency_High"


def latency_incident(*causes: Cause) -> Incident:
    """Return the incident of these causes that the latency alert tells of."""
    limit = load_objectives()["query-latency"].threshold_s
    assert limit is not None
    return Incident(causes=causes, alert=ALERT, objective=Latency(limit), playbook=LATENCY.slug)


@conformance("playbook/latency", since="0.1")
@needs(
    "read",
    "write",
    "fault",
    "restart",
    roles=["edge", "embed", "fallback", "metrics", "alerts", "pager", "faultproxy"],
)
@pytest.mark.timing
@pytest.mark.timeout(420)
def test_fallback_ends_slow_embedding(scenario: Scenario) -> None:
    """When the embedding worker is slow, the latency alert MUST be delivered and the fallback step
    MUST bring p95 back under 250 ms with the fault still on, while without the step it stays red;
    no acknowledged write is lost and no foreign document is seen meanwhile."""
    slow = Cause("latency", {"link": "gateway-embed", "latency_ms": 400, "jitter_ms": 40})
    scenario.prove(latency_incident(slow), LATENCY.step("embed-fallback"))
