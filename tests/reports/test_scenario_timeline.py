"""A scenario's arms are brought onto one time axis, and the drawing says what they did."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import Maker, scenario

from harness.core import events
from reports import timeline
from reports.model import load
from reports.sampling import read_samples
from reports.scenario import Scenario, build

CASE = "playbook/latency::embed_fallback_brings_p95_back"


def built(directory: Path, case_id: str = CASE) -> Scenario:
    run = load(directory)
    case = run.cases[case_id]
    found = build(run, case, [read_samples(directory, said) for said in case.samples])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    directory = tmp_path_factory.mktemp("run")
    make = Maker(directory)
    make.start()
    scenario(make)
    make.finish()
    make.history.close()
    return built(directory)


def test_the_treated_arm_comes_first_and_both_have_their_samples(both: Scenario) -> None:
    assert [(arm.name, len(arm.samples)) for arm in both.arms] == [
        ("treated", 600),
        ("control", 600),
    ]


def test_zero_is_when_the_fault_came_on_in_each_arm(both: Scenario) -> None:
    for arm in both.arms:
        assert arm.zero_is == "the fault was switched on"
        assert arm.faults[0].start == 0.0
        assert arm.start == pytest.approx(-20.2, abs=0.01)
    assert both.arms[1].zero - both.arms[0].zero == pytest.approx(121)


def test_the_treated_arm_recovers_under_the_fault_and_the_control_arm_does_not(
    both: Scenario,
) -> None:
    treated, control = both.arms
    assert treated.recovered is not None and 34 < treated.recovered < 50
    assert treated.recovered_under_fault
    assert control.recovered is not None and control.recovered > 90
    assert not control.recovered_under_fault


def test_alerts_and_steps_stand_in_their_own_arm(both: Scenario) -> None:
    treated, control = both.arms
    assert [(a.state, round(a.at, 1)) for a in treated.alerts] == [
        ("inactive", -19.7),
        ("pending", 10.8),
        ("firing", 22.8),
        ("delivered", 26.3),
        ("resolved", 75.8),
    ]
    assert [a.state for a in control.alerts] == ["inactive", "pending", "firing", "delivered"]
    assert [(s.number, s.stage, s.ok) for s in treated.steps] == [
        (1, "condition", False),
        (2, "condition", True),
        (2, "action", True),
        (2, "effect", True),
    ]
    assert control.steps == ()


def test_the_description_says_what_the_drawing_shows(both: Scenario) -> None:
    said = timeline.describe(both)
    assert re.search(r"Arm treated: 600 requests.*with the fault still on\.", said)
    assert re.search(r"Arm control: 600 requests.*after it was undone\.", said)


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_one_drawing_holds_both_arms_fault_objective_alert_and_recovery(
    both: Scenario, size: str
) -> None:
    drawing = str(timeline.draw(both, "k", size))
    for part in ("treated arm", "control arm", "objective 250 ms", "p95 back", "firing +22.8 s"):
        assert part in drawing, part
    assert drawing.count('class="hatch"') == 2
    assert drawing.count('class="p95"') == 2
    assert drawing.count('class="delivered"') == 2
    assert drawing.count('class="recovered"') == 1


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_nothing_is_drawn_outside_the_frame(both: Scenario, size: str) -> None:
    drawing = str(timeline.draw(both, "k", size))
    match = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
    assert match is not None
    width, height = float(match[1]), float(match[2])
    places = [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", drawing)]
    places += [
        (float(x), float(y)) for x, y in re.findall(r'<text x="(-?[\d.]+)" y="(-?[\d.]+)"', drawing)
    ]
    assert len(places) > 500
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


def test_events_without_an_arm_belong_to_the_one_they_happened_in(tmp_path: Path) -> None:
    make, case = Maker(tmp_path), "playbook/errors::restart"
    make.start()
    make.begin(case)
    for arm, began in (("control", 100.0), ("treated", 0.0)):
        start = make.now + began
        make.write(events.ScenarioPhase(case, arm, "steady"), at=start)
        make.write(events.FaultInjected(arm, "kill", "embed", {}, case), at=start + 10)
        make.write(events.AlertSeen("Errors", "firing", start + 20, case), at=start + 20)
        make.write(events.ScenarioPhase(case, arm, "end"), at=start + 50)
    make.end(case, "fail", message="why")
    make.finish()
    found = built(tmp_path, case)
    for arm in found.arms:
        assert len(arm.faults) == 1 and arm.faults[0].start == 0
        assert [round(alert.at) for alert in arm.alerts] == [10]
        assert arm.recovered is None
    assert "treated arm" in str(timeline.draw(found, "k", "wide"))


def test_a_case_without_phases_is_no_scenario(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.passing("slo/latency::p95", "p95")
    make.finish()
    run = load(tmp_path)
    assert build(run, run.cases["slo/latency::p95"], []) is None


def test_without_a_latency_objective_it_is_the_failures_that_have_to_end(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    scenario(make)
    make.finish()
    make.history.close()
    run = load(tmp_path)
    case = run.cases[CASE]
    files = [read_samples(tmp_path, replace(said, limit=None)) for said in case.samples]
    found = build(run, case, files)
    assert found is not None and found.limit is None
    treated, control = found.arms
    assert treated.recovered is not None and 34 < treated.recovered < 50
    assert control.recovered is not None and control.recovered > 90
    drawn = str(timeline.draw(found, "one", "wide"))
    assert "errors over" in drawn and "p95 back" not in drawn
    assert "no more failures from" in timeline.describe(found)


def test_arms_that_nobody_asked_anything_get_no_scale_of_latencies(both: Scenario) -> None:
    silent = replace(
        both, arms=tuple(replace(arm, samples=(), points=(), recovered=None) for arm in both.arms)
    )
    drawn = str(timeline.draw(silent, "one", "wide"))
    assert "objective" not in drawn and ">500 ms<" not in drawn
    assert drawn.count("fault on:") == 2, "what was broken is still named"
    assert timeline.describe(silent) == "Arm treated: no requests. Arm control: no requests."


def test_the_faults_name_keeps_clear_of_requests_that_were_refused_at_once(
    both: Scenario,
) -> None:
    treated, control = both.arms
    samples = tuple(replace(sample, ok=False) for sample in treated.samples)
    refused = replace(both, arms=(replace(treated, samples=samples), control))
    heights = [
        [float(y) for y in re.findall(r'y="([0-9.]+)"[^>]*>fault on:', str(drawn))]
        for drawn in (timeline.draw(both, "one", "wide"), timeline.draw(refused, "one", "wide"))
    ]
    assert heights[1][0] < heights[0][0]
