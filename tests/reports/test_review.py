"""A review tells what the history tells: no time, no number and no lesson of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic_run import BEGAN, Maker, scenario

from harness.core import events
from reports.model import load
from reports.rendering import render
from reports.review import Review, file_name, reviews

CASE = "playbook/latency::embed_fallback_brings_p95_back"
SECTIONS = [
    "### Summary",
    "### Timeline (UTC)",
    "### Impact",
    "### Root Cause",
    "### Lessons Learned",
    "### Action Items",
]


def written(directory: Path, **more: str) -> Review:
    make = Maker(directory)
    make.start()
    make.write(events.ObjectiveKnown("query-latency", "slo/latency", 0.95, 0.25, 28 * 86_400.0))
    make.write(events.ObjectiveKnown("availability", "slo/availability", 0.995, None, 28 * 86_400))
    scenario(make, **more)
    make.finish()
    (found,) = reviews(load(directory))
    return found


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return written(tmp_path)


def section(text: str, title: str) -> str:
    return text.partition(f"### {title}")[2].partition("\n### ")[0]


def test_it_has_the_sections_of_the_template_in_their_order(review: Review) -> None:
    heads = [line for line in review.text.splitlines() if line.startswith("### ")]
    assert heads[:-1] == SECTIONS
    assert heads[-1] == "### Tags: reliability, latency"


def test_the_summary_is_two_sentences_of_what_and_of_how_it_ended(review: Review) -> None:
    (said,) = section(review.text, "Summary").strip().splitlines()
    first, second = re.split(r"(?<=\.) (?=[A-Z])", said)
    assert first == (
        "At 08:00:20.2 UTC latency on gateway-embed began, "
        "and RAG_P95_Latency_High was delivered 26.3 s later."
    )
    assert second.startswith("After 1 playbook step the objective was met again ")
    assert second.endswith(", before the fault was undone.")


def short_incident(directory: Path, faults: int) -> Review:
    """An incident of some faults at once that nobody saw but an onlooker."""
    make = Maker(directory)
    make.start()
    make.write(events.ObjectiveKnown("availability", "slo/availability", 0.995, None, 28 * 86_400))
    make.begin(CASE)
    make.write(events.ScenarioPhase(CASE, "treated", "fault"))
    for number in range(faults):
        name = f"{number:08d}"
        make.write(events.FaultInjected(name, "down", "a-b", {}, case=CASE, arm="treated"))
        make.write(events.FaultHealed(name, True, {}, case=CASE, arm="treated"))
    make.write(events.ScenarioPhase(CASE, "treated", "end"))
    look = {"t": make.now, "seconds": 0.1, "status": 0, "ok": False, "error": "not well"}
    rows = [look | {"arm": "treated", "key": events.ONLOOKER}] * 3
    make.samples(CASE, "looks from outside", rows, None)
    make.end(CASE, "pass")
    make.finish()
    (found,) = reviews(load(directory))
    return found


def test_looks_from_outside_are_no_requests_of_customers(tmp_path: Path) -> None:
    impact = section(short_incident(tmp_path, 1).text, "Impact")
    assert "Requests meanwhile: none were recorded" in impact
    assert "Tenants touched: none seen" in impact
    assert "Error budget: not to be told" in impact


def test_many_faults_are_counted_in_the_summary_and_named_in_the_timeline(tmp_path: Path) -> None:
    text = short_incident(tmp_path, 5).text
    assert "the first of 5 faults, down on a-b, began" in section(text, "Summary")
    assert section(text, "Timeline (UTC)").count("Fault undone: down on a-b") == 5


def test_every_time_is_that_of_a_record_and_in_order(tmp_path: Path) -> None:
    review = written(tmp_path)
    lines = section(review.text, "Timeline (UTC)").strip().splitlines()
    clocks = [line.partition(" – ")[0].removeprefix("* ") for line in lines]
    assert clocks == sorted(clocks)
    told = {line.partition(" – ")[2]: clock for line, clock in zip(lines, clocks, strict=True)}
    assert told["Fault on: latency on gateway-embed"] == "08:00:20.2"
    assert told["RAG_P95_Latency_High delivered"] == "08:00:46.5"
    assert told["Step 2, latency/embed-fallback: its action ran"] == "08:00:54.0"
    assert told["Fault undone"] == "08:01:50.4"


def test_the_impact_counts_the_samples_between_fault_and_recovery(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.write(events.ObjectiveKnown("query-latency", "slo/latency", 0.95, 0.25, 1000.0))
    case = "playbook/errors::restart"
    make.begin(case)
    for second, phase in ((0, "steady"), (10, "fault"), (30, "end")):
        make.write(events.ScenarioPhase(case, "treated", phase), at=BEGAN + second)
    make.write(events.FaultInjected("f", "pause", "metadata", {}, case), at=BEGAN + 10)
    make.write(events.FaultHealed("f", True, {}, case), at=BEGAN + 20)
    rows = [row(5, 0.01), row(12, 0.01), row(13, 9.0), row(14, None, key="globex/work")]
    make.samples(case, "queries", [*rows, row(25, 0.01, key="late/work")], 0.25, "treated")
    make.end(case, "fail", 30)
    (review,) = reviews(load(tmp_path))
    impact = section(review.text, "Impact")
    assert "Duration: 10 s, from the fault until it was undone" in impact
    assert "3, of which 1 failed and 1 were slower than 250 ms" in impact
    assert "Tenants touched: acme, globex\n" in impact
    # 2 of 3 bad, where 1 in 20 may be: 13.3 times, for 10 of 1000 s.
    assert "2 of 3 requests were bad where 5.0% may be, 13.3 times" in impact
    assert "13.3333% of the budget" in impact


def test_a_failure_after_the_fault_was_undone_still_counts(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    case = "playbook/errors::restart"
    make.begin(case)
    for second, phase in ((0, "steady"), (10, "fault"), (30, "end")):
        make.write(events.ScenarioPhase(case, "treated", phase), at=BEGAN + second)
    make.write(events.FaultInjected("f", "pause", "metadata", {}, case), at=BEGAN + 10)
    make.write(events.FaultHealed("f", True, {}, case), at=BEGAN + 20)
    make.samples(case, "queries", [row(12, None), row(23, None), row(29, 0.1)], None, "treated")
    make.end(case, "fail", 30)
    (review,) = reviews(load(tmp_path))
    impact = section(review.text, "Impact")
    assert "Duration: 13 s, from the fault until the last request that failed" in impact
    assert "Requests meanwhile: 2, of which 2 failed\n" in impact


def row(second: float, seconds: float | None, key: str = "acme/work") -> dict[str, object]:
    return {
        "t": BEGAN + second,
        "seconds": seconds,
        "status": 0 if seconds is None else 200,
        "ok": seconds is not None,
        "error": None,
        "arm": "treated",
        "key": key,
    }


def test_what_was_red_is_a_lesson_and_an_action_that_nobody_is_said_to_have_taken(
    tmp_path: Path,
) -> None:
    make = Maker(tmp_path)
    make.start()
    case = "playbook/errors::restart"
    make.begin(case)
    make.write(events.ScenarioPhase(case, "treated", "steady"))
    make.saw(case, "the alert is delivered", expected="within 45 s", actual="in time")
    make.saw(case, "the step | brings it back", "fail", expected="< 1 %", actual="20 %")
    make.end(case, "fail", 3)
    (review,) = reviews(load(tmp_path))
    lessons = section(review.text, "Lessons Learned")
    worked, _, failed = lessons.partition("- What didn’t")
    assert "the alert is delivered" in worked
    assert "brings it back" not in worked
    assert "brings it back (fail): expected &lt; 1 %, came 20 %" in failed
    actions = section(review.text, "Action Items").strip().splitlines()
    assert actions[2:] == [r"| to be named | Mend: the step \| brings it back | to be set |"]


def test_without_anything_red_no_action_is_invented(review: Review) -> None:
    rows = section(review.text, "Action Items").strip().splitlines()
    assert rows[2:] == ["| – | none: no check was red | – |"]


def test_the_reports_of_a_run_hold_the_review_and_lead_to_it(tmp_path: Path) -> None:
    review = written(tmp_path)
    rendered = render(tmp_path)
    assert (tmp_path / file_name(CASE)).read_text() == review.text
    assert f'href="{review.name}"' in rendered.index.read_text()
    before = review.text
    render(tmp_path)
    assert (tmp_path / review.name).read_text() == before, "the same history, the same bytes"


def test_a_run_without_an_incident_has_no_review(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.passing("isolation/query::x", "no leak")
    make.finish()
    assert reviews(load(tmp_path)) == []
