"""playbook/latency: the step, not luck or time, ends an incident of high latency."""

from __future__ import annotations

import pytest

from chaos.playbooks.latency import LATENCY
from fixtures.incident import Cause, Incident, Latency
from fixtures.scenario import Scenario
from harness import conformance, needs
from harness.core.guide import load_objectives

ALERT = "RAG_P95_Latency_High"
ROLES = ["edge", "embed", "fallback", "vectordb", "metrics", "alerts", "pager", "faultproxy"]


def latency_incident(*causes: Cause) -> Incident:
    """Return the incident of these causes that the latency alert tells of."""
    limit = load_objectives()["query-latency"].threshold_s
    assert limit is not None
    return Incident(causes=causes, alert=ALERT, objective=Latency(limit), playbook=LATENCY.slug)


SLOW_WORKER = Cause("latency", {"link": "gateway-embed", "latency_ms": 400, "jitter_ms": 40})
BATCH_JOB = Cause("heavy-queries", {}, ended_by="vectordb-restart")
LOADERS = Cause("bulk-ingest", {})


@conformance("playbook/latency", since="0.1")
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(420)
def test_fallback_ends_slow_embedding(scenario: Scenario) -> None:
    """When the embedding worker is slow, the latency alert MUST be delivered and the fallback step
    MUST bring p95 back under 250 ms with the fault still on, while without the step it stays red;
    no acknowledged write is lost and no foreign document is seen meanwhile."""
    scenario.prove(latency_incident(SLOW_WORKER), LATENCY.step("embed-fallback"))


@conformance("playbook/latency", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(420)
def test_restart_ends_batch_job(scenario: Scenario) -> None:
    """When a batch job keeps the vector store's processor busy, the latency alert MUST be
    delivered and the restart MUST bring p95 back under 250 ms, while without it it stays red."""
    scenario.prove(latency_incident(BATCH_JOB), LATENCY.step("vectordb-restart"))


@conformance("playbook/latency", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(420)
def test_scaling_ingest_down_ends_flood(scenario: Scenario) -> None:
    """When loaders flood the embedding worker, the latency alert MUST be delivered and scaling
    ingest down MUST bring p95 back under 250 ms with the loaders still asking, while without it
    it stays red."""
    scenario.prove(latency_incident(LOADERS), LATENCY.step("ingest-down"))
