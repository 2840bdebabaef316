"""Ablation says of each step what it is for; a study with a red arm is no pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from test_scenario_judgement import FAST, INCIDENT, OFF, ON, SLOW, SLOW_LINK, treated

from chaos.playbooks import Seen, Step
from fixtures.incident import Arm, Incident
from fixtures.scenario import Scenario
from fixtures.studies import Need, ablate, repeat
from harness.core.evidence import Evidence, Inconclusive, NotConformant
from harness.core.history import History


def step_of(slug: str) -> Step:
    yes = Seen(True)
    words = dict.fromkeys(("sentence", "look", "command", "expect", "way_back"), "x")
    return Step(
        slug=slug,
        **words,
        condition=lambda stack: yes,
        action=lambda stack: None,
        effect=lambda stack: yes,
    )


A, B = step_of("a"), step_of("b")


class Bench:
    """Answers for the runner: an arm heals when its steps contain ``cure``, in that order; in the
    arm ``passing`` the fault goes away by itself."""

    def __init__(self, cure: list[str], place: Path) -> None:
        self.cure, self.passing = cure, ""
        self.judged: list[str] = []
        self.evidence = Evidence("playbook/latency::x", History(place))

    def run_arm(self, name: str, incident: Incident, *steps: Step, hold_s: float = 0.0) -> Arm:
        slugs = [step.slug for step in steps]
        left = iter(slugs)
        healed = all(slug in left for slug in self.cure)
        on = OFF if name == self.passing else ON
        seen = dict.fromkeys(slugs, Seen(True))
        return replace(
            treated(),
            name=name,
            conditions=seen,
            effects=seen,
            acted=slugs,
            on_before={str(SLOW_LINK): ON},
            on_after={str(SLOW_LINK): on},
            recovered_at=35.0 if healed else None,
            after=FAST if healed else SLOW,
        )

    @contextmanager
    def witness(self) -> Iterator[Any]:
        yield SimpleNamespace(judge=lambda evidence: self.judged.append("witness"))

    def no_strays(self, *arms: Arm) -> None:
        self.judged.append(f"{len(arms)} arms")


def bench(cure: list[str], place: Path) -> Any:
    return cast("Scenario", Bench(cure, place))


def test_two_steps_that_are_both_needed_in_their_order(tmp_path: Path) -> None:
    found = ablate(bench(["a", "b"], tmp_path), INCIDENT, A, B)
    assert found == {"a": Need.ORDER_SENSITIVE, "b": Need.ORDER_SENSITIVE}


def test_a_step_that_changes_nothing_is_redundant(tmp_path: Path) -> None:
    with pytest.raises(NotConformant, match="the step b is redundant"):
        ablate(bench(["a"], tmp_path), INCIDENT, A, B)


def test_an_incident_that_all_steps_leave_as_it_is_ends_the_study(tmp_path: Path) -> None:
    with pytest.raises(NotConformant, match="comes back and stays"):
        ablate(bench(["c"], tmp_path), INCIDENT, A, B)


def test_an_arm_in_which_the_fault_went_away_shows_nothing_of_the_step(tmp_path: Path) -> None:
    runner = bench(["a"], tmp_path)
    runner.passing = "without b"
    with pytest.raises(Inconclusive, match="healed by itself in the arm 'without b'"):
        ablate(runner, INCIDENT, A, B)


def test_times_are_those_of_every_repeat(tmp_path: Path) -> None:
    runner = bench(["a"], tmp_path)
    times = repeat(runner, INCIDENT, A, times=3)
    assert times == {"detect": [15.0] * 3, "recover": [5.0] * 3}
    assert runner.judged == ["witness", "3 arms"], "the promises are looked at in every arm"
