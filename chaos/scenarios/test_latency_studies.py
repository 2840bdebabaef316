"""playbook/latency at length: two faults at once, a fault that returns, times over repeats."""

from __future__ import annotations

import pytest

from chaos.playbooks.latency import LATENCY
from chaos.scenarios.test_latency_playbook import (
    BATCH_JOB,
    ROLES,
    SLOW_WORKER,
    latency_incident,
)
from fixtures.scenario import Scenario
from fixtures.studies import ablate, prove_again, repeat
from harness import conformance, needs


@conformance("playbook/latency", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(1200)
def test_two_faults_at_once_need_both_steps(scenario: Scenario) -> None:
    """When a batch job keeps the vector store busy and the embedding worker is slow, the steps for
    both MUST bring p95 back together, and neither alone."""
    incident = latency_incident(BATCH_JOB, SLOW_WORKER)
    steps = [LATENCY.step("vectordb-restart"), LATENCY.step("embed-fallback")]
    ablate(scenario, incident, *steps)


@conformance("playbook/latency", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(900)
def test_a_fault_that_returns_is_ended_again(scenario: Scenario) -> None:
    """When the embedding worker is slow again after it was mended, the alert MUST be delivered
    again and the fallback step MUST work again."""
    prove_again(scenario, latency_incident(SLOW_WORKER), LATENCY.step("embed-fallback"))


@conformance("playbook/latency", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(1200)
def test_fallback_ends_slow_embedding_each_time(scenario: Scenario) -> None:
    """The fallback step MUST end a slow embedding incident in each of five runs; the report tells
    the median times to detect and to recover with their intervals."""
    repeat(scenario, latency_incident(SLOW_WORKER), LATENCY.step("embed-fallback"))
