"""What two arms must have seen for a playbook step to count as the cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chaos.scenarios.test_latency_playbook import judge_control, judge_treated
from fixtures.scenario import Arm
from harness.checks.quantiles import percentile_verdict
from harness.checks.result import CheckResult
from harness.core.evidence import Evidence, Inconclusive, NotConformant
from harness.core.history import History
from harness.load.plan import LoadPlan, Request
from harness.load.result import LoadResult
from harness.load.samples import LoadSamples


def p95_of(seconds: float) -> CheckResult:
    spread = np.random.default_rng(1).uniform(0.9, 1.1, size=400)
    return percentile_verdict(spread * seconds, 0.95, 0.25)


FAST, SLOW = p95_of(0.05), p95_of(0.5)


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
        condition_held=True,
        after=FAST,
        load=load_result(),
    )


def control() -> Arm:
    return replace(
        treated(),
        name="control",
        resolved_at=None,
        acted_at=None,
        recovered_at=None,
        firing_at_end=True,
        condition_held=False,
        after=SLOW,
    )


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence("playbook/latency::x", History(tmp_path))


def test_a_cure_with_a_sick_control_passes(evidence: Evidence) -> None:
    judge_treated(evidence, treated())
    judge_control(evidence, control())
    assert evidence.shown == 4


def test_a_control_that_heals_by_itself_leaves_the_step_unproven(evidence: Evidence) -> None:
    with pytest.raises(Inconclusive, match="healed by itself"):
        judge_control(evidence, replace(control(), after=FAST))


def test_a_control_whose_alert_went_silent_leaves_the_step_unproven(evidence: Evidence) -> None:
    with pytest.raises(Inconclusive, match="healed by itself"):
        judge_control(evidence, replace(control(), firing_at_end=False))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"condition_held": False}, "condition held"),
        ({"recovered_at": None, "after": SLOW}, "comes back and stays"),
        ({"after": SLOW}, "comes back and stays"),
        ({"resolved_at": None}, "alert resolves"),
    ],
)
def test_each_thing_that_is_missing_fails_by_its_name(
    evidence: Evidence, change: dict[str, object], told: str
) -> None:
    with pytest.raises(NotConformant, match=told):
        judge_treated(evidence, replace(treated(), **change))


def test_a_void_load_is_an_error_and_no_verdict(evidence: Evidence) -> None:
    late = load_result("the generator was late")
    with pytest.raises(RuntimeError, match="generator was late"):
        judge_treated(evidence, replace(treated(), load=late))
