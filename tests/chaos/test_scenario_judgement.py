"""What two arms must have seen for a playbook step to count as the cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chaos.faults.base import Proof
from chaos.playbooks import Seen
from fixtures.incident import (
    Arm,
    Cause,
    Errors,
    Incident,
    Latency,
    Outcome,
    judge_control,
    judge_treated,
    outcome_of,
)
from harness.checks.quantiles import percentile_verdict
from harness.checks.result import CheckResult
from harness.core.evidence import Evidence, Inconclusive, NotConformant
from harness.core.history import History
from harness.core.verdicts import Verdict
from harness.load.plan import LoadPlan, Request
from harness.load.result import LoadResult
from harness.load.runner import Window
from harness.load.samples import LoadSamples

SLOW_LINK = Cause("latency", {"link": "gateway-embed", "latency_ms": 400})
RUNAWAY = Cause("runaway", {"role": "vectordb"}, ended_by="restart")
INCIDENT = Incident(
    causes=(SLOW_LINK,), alert="RAG_P95_Latency_High", objective=Latency(0.25), playbook="latency"
)
ON, OFF = Proof(True, {"seen": 1}), Proof(False, {"seen": 0})


def p95_of(seconds: float) -> CheckResult:
    spread = np.random.default_rng(1).uniform(0.9, 1.1, size=400)
    return percentile_verdict(spread * seconds, 0.95, 0.25)


FAST, SLOW, SLOWER = p95_of(0.05), p95_of(0.5), p95_of(2.0)


def load_result(void_reason: str | None = None) -> LoadResult:
    return LoadResult(
        plan=LoadPlan("http://127.0.0.1:1", [Request("GET", "/")], rate=1, duration_s=1),
        samples=LoadSamples.from_rows([]),
        directory=Path(),
        began_utc=0.0,
        seconds=1.0,
        scheduled=0,
        dropped=0,
        lateness_p99_s=0.0,
        void_reason=void_reason,
    )


def treated() -> Arm:
    return Arm(
        "treated",
        fault_at=10.0,
        delivered_at=25.0,
        resolved_at=40.0,
        acted_at=30.0,
        recovered_at=35.0,
        held_s=10.0,
        conditions={"fallback": Seen(True)},
        effects={"fallback": Seen(True)},
        acted=["fallback"],
        on_before={str(SLOW_LINK): ON},
        on_after={str(SLOW_LINK): ON},
        broken=SLOW,
        after=FAST,
        load=load_result(),
    )


def control() -> Arm:
    return Arm(
        "control",
        fault_at=10.0,
        delivered_at=25.0,
        held_s=12.0,
        firing_at_end=True,
        on_after={str(SLOW_LINK): ON},
        broken=SLOW,
        after=SLOW,
        load=load_result(),
    )


def judge(evidence: Evidence, arm: Arm, incident: Incident = INCIDENT) -> None:
    judge_treated(evidence, incident, arm, ["fallback"])


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence("playbook/latency::x", History(tmp_path))


def test_a_cure_with_a_sick_control_passes(evidence: Evidence) -> None:
    judge(evidence, treated())
    judge_control(evidence, INCIDENT, control())
    assert evidence.shown == 5


@pytest.mark.parametrize(
    "change",
    [{"after": FAST}, {"firing_at_end": False}, {"on_after": {str(SLOW_LINK): OFF}}],
    ids=["objective came back", "alert went silent", "fault is gone"],
)
def test_a_control_that_heals_by_itself_leaves_the_step_unproven(
    evidence: Evidence, change: dict[str, object]
) -> None:
    with pytest.raises(Inconclusive, match="healed by itself"):
        judge_control(evidence, INCIDENT, replace(control(), **change))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"on_before": {str(SLOW_LINK): OFF}}, "when the step was applied"),
        ({"on_after": {str(SLOW_LINK): OFF}}, "when the arm ended"),
    ],
)
def test_a_fault_that_heals_itself_in_the_treated_arm_is_never_a_pass(
    evidence: Evidence, change: dict[str, object], told: str
) -> None:
    arm = replace(treated(), **change)
    assert outcome_of(INCIDENT, arm) is Outcome.HEALED_BY_ITSELF
    with pytest.raises(Inconclusive, match=told):
        judge(evidence, arm)


def test_a_cause_that_the_step_itself_removes_may_be_gone_afterwards(evidence: Evidence) -> None:
    incident = replace(INCIDENT, causes=(RUNAWAY,))
    arm = replace(treated(), on_before={str(RUNAWAY): ON}, on_after={str(RUNAWAY): OFF})
    assert outcome_of(incident, replace(arm, acted=["restart"])) is Outcome.HEALED_BY_STEP
    assert outcome_of(incident, replace(arm, acted=["fallback"])) is Outcome.HEALED_BY_ITSELF


def test_one_of_two_causes_that_heals_itself_leaves_the_step_unproven(evidence: Evidence) -> None:
    incident = replace(INCIDENT, causes=(SLOW_LINK, RUNAWAY))
    proofs = {str(SLOW_LINK): ON, str(RUNAWAY): OFF}
    arm = replace(treated(), on_before=proofs, on_after=proofs, acted=["restart"])
    with pytest.raises(Inconclusive, match="healed by itself"):
        judge(evidence, arm, incident)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"conditions": {"fallback": Seen(False)}}, "condition held"),
        ({"conditions": {}}, "condition held"),
        ({"recovered_at": None, "after": SLOW}, "comes back and stays"),
        ({"after": SLOW}, "comes back and stays"),
        ({"recovered_at": None, "after": SLOWER}, "made it worse"),
        ({"effects": {"fallback": Seen(False)}}, "effect that it promises"),
        ({"resolved_at": None}, "alert resolves"),
    ],
)
def test_each_thing_that_is_missing_fails_by_its_name(
    evidence: Evidence, change: dict[str, object], told: str
) -> None:
    with pytest.raises(NotConformant, match=told):
        judge(evidence, replace(treated(), **change))


def test_a_void_load_is_an_error_and_no_verdict(evidence: Evidence) -> None:
    late = load_result("the generator was late")
    with pytest.raises(RuntimeError, match="generator was late"):
        judge(evidence, replace(treated(), load=late))


def window_of(failed: int, answered: int) -> Window:
    rows = [
        {"i": i, "intended": i / 20, "started": i / 20, "finished": i / 20 + 0.01}
        | {"status": 503 if i < failed else 200, "error": "status" if i < failed else None}
        for i in range(failed + answered)
    ]
    return Window(LoadSamples.from_rows(rows), np.array([]))


@pytest.mark.parametrize(
    ("failed", "answered", "verdict"),
    [(0, 120, Verdict.PASS), (60, 60, Verdict.FAIL), (6, 114, Verdict.INCONCLUSIVE)],
)
def test_the_error_objective_is_judged_on_an_interval(
    failed: int, answered: int, verdict: Verdict
) -> None:
    assert Errors(0.05).judge(window_of(failed, answered), "errors").verdict is verdict
