"""playbook/latency: the fallback step, not luck or time, ends a slow embedding incident."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from chaos.playbooks.latency import LATENCY
from fixtures.corpus import Corpus
from fixtures.scenario import Arm, Heartbeats, Incident, Scenario, hold_for, verdict_of
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence, Inconclusive
from harness.core.guide import load_objectives
from harness.core.verdicts import Verdict

ALERT = "RAG_P95_Latency_High"
FAULT = ("latency", {"link": "gateway-embed", "latency_ms": 400, "jitter_ms": 40})


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
def test_fallback_ends_slow_embedding(
    scenario: Scenario,
    heartbeat: Heartbeats,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    tenants: Mapping[str, Tenant],
    corpus: Corpus,
    evidence: Evidence,
) -> None:
    """When the embedding worker is slow, the latency alert MUST be delivered and the fallback step
    MUST bring p95 back under 250 ms with the fault still on, while without the step it stays red;
    no acknowledged write is lost and no foreign document is seen meanwhile."""
    limit = load_objectives()["query-latency"].threshold_s
    assert limit is not None
    tenant = new_tenant("witness", ("work",))
    gateway = connect(tenant.token, timeout=20.0)

    def write(key: str) -> int:
        text = f"Witness {key} was here while things broke."
        return gateway.put_document("work", text, document_id=key).status

    incident = Incident(FAULT, ALERT, limit, LATENCY.slug)
    with heartbeat(write) as beats:
        treated = scenario.run_arm("treated", incident, LATENCY.step("embed-fallback"))
        judge_treated(evidence, treated)
        control = scenario.run_arm("control", incident, None, hold_s=hold_for(treated))
        judge_control(evidence, control)
    lost = [key for key in beats.acknowledged if gateway.get_document(key).status != 200]
    evidence.require(
        f"none of {len(beats.acknowledged)} writes acknowledged meanwhile was lost",
        not lost and len(beats.acknowledged) > 0,
        expected="one or more acknowledged, none lost",
        actual={"acknowledged": len(beats.acknowledged), "lost": lost[:10]},
    )
    strays = foreign_results(corpus, treated, control)
    evidence.require(
        "each answer of both arms came from the asker's namespace",
        not strays,
        expected="no foreign document",
        actual=strays[:5] or "none",
    )


def detected(evidence: Evidence, arm: Arm) -> None:
    """Record the time to detect of an arm whose load was sound."""
    assert arm.load is not None and arm.delivered_at is not None
    if arm.load.void_reason is not None:
        raise RuntimeError(f"the load of the arm {arm.name} is void: {arm.load.void_reason}")
    evidence.measure(f"time to detect, {arm.name}", arm.delivered_at - arm.fault_at, "s")


def judge_treated(evidence: Evidence, treated: Arm) -> None:
    """Require that the step was called for, brought the objective back and ended the alert."""
    detected(evidence, treated)
    evidence.require(
        "the step's condition held, so the playbook sends the operator there",
        treated.condition_held,
        expected="embedding over its budget",
        actual=treated.condition_held,
    )
    evidence.require(
        "with the step, p95 comes back and stays, while the fault is still on",
        treated.recovered_at is not None and verdict_of(treated.after) is Verdict.PASS,
        expected=treated.after.expected if treated.after else "p95 under the limit",
        actual=treated.after.actual if treated.after else "never looked",
    )
    assert treated.recovered_at is not None and treated.acted_at is not None
    evidence.measure("time to recover after the step", treated.recovered_at - treated.acted_at, "s")
    evidence.require(
        "with the step, the alert resolves at its receiver",
        treated.resolved_at is not None,
        expected="a resolved notice",
        actual="resolved" if treated.resolved_at is not None else "never",
    )


def judge_control(evidence: Evidence, control: Arm) -> None:
    """Require that without the step it stayed red; else the step is unproven."""
    detected(evidence, control)
    if verdict_of(control.after) is not Verdict.FAIL or not control.firing_at_end:
        raise Inconclusive(
            "It healed by itself: without the step the objective came back too, so the step is "
            "unproven.",
            expected=f"p95 over the limit and {ALERT} firing after {control.held_s:.0f} s",
            actual={
                "p95": control.after.actual if control.after else None,
                "firing": control.firing_at_end,
            },
        )
    evidence.require(
        f"without the step it stays red for the {control.held_s:.0f} s that the step needed",
        True,
        expected="p95 over the limit, alert firing",
        actual=control.after.actual if control.after else None,
    )


def foreign_results(corpus: Corpus, *arms: Arm) -> list[str]:
    """Return the document ids that an arm's answers held and the asked namespace does not."""
    homes: dict[str, set[str]] = {}
    for passage in corpus.passages:
        homes.setdefault(f"{passage.tenant}/{passage.persona}", set()).add(passage.id)
    strays = []
    for arm in arms:
        assert arm.load is not None
        for key, extract in zip(arm.load.samples.key, arm.load.samples.extract, strict=True):
            found = set(extract.get("ids") or ()) - homes[key]
            strays += [f"{arm.name}: {document} in an answer to {key}" for document in found]
    return strays
