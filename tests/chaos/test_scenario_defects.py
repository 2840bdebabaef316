"""Verdicts on scenarios with a deliberate bug in them, each caught by the check that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_scenario_judgement as judging
import test_scenario_studies as studying

from fixtures import incident, studies
from fixtures.incident import Arm, Incident
from harness.core.evidence import Evidence
from harness.core.history import History

Patch = pytest.MonkeyPatch
Check = Callable[[Path], None]


def removes_nothing(patch: Patch) -> None:
    """The ablation runs all steps in every arm."""
    original = studying.Bench.run_arm

    def all_steps(self: Any, name: str, given: Incident, *steps: Any, **more: Any) -> Arm:
        whole = (studying.A, studying.B) if name.startswith("without") else steps
        return original(self, name, given, *whole, **more)

    patch.setattr(studying.Bench, "run_arm", all_steps)


def counts_a_passing_fault_as_a_cure(patch: Patch) -> None:
    patch.setattr(incident, "gone", lambda proofs, but=(): [])


def judges_the_control_by_wall_time(patch: Patch) -> None:
    """The control arm is sick if it was waited for long enough."""

    def waited(evidence: Evidence, given: Incident, arm: Arm) -> None:
        evidence.require("it was waited for", arm.held_s >= 10.0)

    patch.setattr(judging, "judge_control", waited)


def judges_the_cure_by_its_own_word(patch: Patch) -> None:
    """An arm counts as healed because the objective was met once."""
    patch.setattr(Arm, "recovered", property(lambda self: self.recovered_at is not None))


def believes_a_late_load(patch: Patch) -> None:
    patch.setattr(incident, "detected", lambda evidence, arm: None)


def forgets_what_is_worse(patch: Patch) -> None:
    patch.setattr(incident, "_worse", lambda arm: False)


def looks_at_one_repeat(patch: Patch) -> None:
    original = studies.repeat

    def once(scenario: Any, given: Incident, *steps: Any, times: int = 5) -> Any:
        return original(scenario, given, *steps, times=1)

    patch.setattr(studying, "repeat", once)


def evidence_in(place: Path) -> Evidence:
    return Evidence("playbook/latency::x", History(place))


def control_that_healed(place: Path) -> None:
    judging.test_a_control_that_heals_by_itself_leaves_the_step_unproven(
        evidence_in(place), {"after": judging.FAST}
    )


def fault_that_went(place: Path) -> None:
    judging.test_a_fault_that_heals_itself_in_the_treated_arm_is_never_a_pass(
        evidence_in(place), {"on_after": {str(judging.SLOW_LINK): judging.OFF}}, "when the arm"
    )


def objective_that_went_again(place: Path) -> None:
    judging.test_each_thing_that_is_missing_fails_by_its_name(
        evidence_in(place), {"after": judging.SLOW}, "comes back and stays"
    )


def worse_than_before(place: Path) -> None:
    judging.test_each_thing_that_is_missing_fails_by_its_name(
        evidence_in(place), {"recovered_at": None, "after": judging.SLOWER}, "made it worse"
    )


DEFECTS: dict[Callable[[Patch], None], Check] = {
    removes_nothing: studying.test_two_steps_that_are_both_needed_in_their_order,
    counts_a_passing_fault_as_a_cure: fault_that_went,
    judges_the_control_by_wall_time: control_that_healed,
    judges_the_cure_by_its_own_word: objective_that_went_again,
    believes_a_late_load: lambda place: judging.test_a_void_load_is_an_error_and_no_verdict(
        evidence_in(place)
    ),
    forgets_what_is_worse: worse_than_before,
    looks_at_one_repeat: studying.test_times_are_those_of_every_repeat,
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_the_check_catches_it(
    defect: Callable[[Patch], None], tmp_path: Path, monkeypatch: Patch
) -> None:
    for place in ("sound", "broken"):
        (tmp_path / place).mkdir()
    DEFECTS[defect](tmp_path / "sound")
    defect(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        DEFECTS[defect](tmp_path / "broken")
