"""The evidence pack of a drill: as complete for a failed drill as for one that passed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from harness.core.verdicts import Verdict
from reports.drill import DONE, Drill, Step, drills
from reports.judgement import judge
from reports.model import load
from reports.rendering import render
from tests.reports.synthetic_drill import CASE, PLAN, drill
from tests.reports.synthetic_run import passing_run

SECTIONS = (
    "Who, when, from what",
    "Objectives",
    "Steps",
    "The backup",
    "Discrepancies",
    "What was compared",
    "Components",
    "Sign-off",
)


def read(directory: Path) -> Drill:
    (found,) = drills(directory, judge(load(directory)))
    return found


def pack(directory: Path) -> tuple[str, str]:
    render(directory)
    return (directory / "drill.html").read_text(), (directory / "drill.md").read_text()


def test_a_run_without_a_drill_gets_no_pack(tmp_path: Path) -> None:
    run = passing_run(tmp_path / "run")
    render(run)
    assert not (run / "drill.html").exists()


@pytest.mark.parametrize(
    ("verdict", "last"),
    [("pass", "measure"), ("fail", "measure"), ("fail", "restore"), ("error", "restore")],
)
def test_every_pack_has_all_sections_and_every_step_of_the_plan(
    tmp_path: Path, verdict: str, last: str
) -> None:
    page, text = pack(drill(tmp_path / "run", verdict=verdict, last=last, message="it broke"))
    for section in SECTIONS:
        assert re.search(rf"<h2 [^>]*>{section}</h2>", page), section
        assert f"## {section}\n" in text
    for step in PLAN:
        assert str(step["title"]) in page
        assert str(step["title"]).split()[0] in text
    for told in ("j.doe@example", "rag-backups", "18.6", "guide 4", "drill"):
        assert told in page
    assert hashlib.sha256(b"manifest.json").hexdigest() in page
    assert hashlib.sha256(b"manifest.json").hexdigest() in text


def test_a_step_that_failed_is_a_discrepancy_and_those_after_it_are_not_shown(
    tmp_path: Path,
) -> None:
    found = read(drill(tmp_path / "run", verdict="fail", last="restore", message="refused"))
    assert found.verdict is Verdict.FAIL
    assert [d.where for d in found.discrepancies] == ["step: Restore"]
    assert [step.name for step in found.unreached] == ["answer", "compare", "measure"]


def test_a_step_that_began_and_never_ended_is_cut_off(tmp_path: Path) -> None:
    found = read(drill(tmp_path / "run", verdict="error", last="restore", whole=False))
    (cut,) = [step for step in found.steps if step.state == "cut off"]
    assert cut.name == "restore"
    assert found.verdict is Verdict.ERROR
    assert "does not hold" in found.headline


def test_every_observation_that_is_no_pass_is_told_with_its_details(tmp_path: Path) -> None:
    page, text = pack(drill(tmp_path / "run", verdict="fail", message="they disagree"))
    assert "3 without_point" in page
    assert "doc-1#1.0" in page and "doc-1#1.0" in text


def test_a_step_beyond_what_the_guide_allows_is_late(tmp_path: Path) -> None:
    found = read(drill(tmp_path / "run"))
    (backup,) = [step for step in found.steps if step.name == "backup"]
    assert backup.verdict is Verdict.PASS
    backup.seconds = 121.0
    assert backup.verdict is Verdict.FAIL
    assert any("at most" in str(d.expected) for d in found.discrepancies)


def test_a_step_that_was_done_and_found_a_difference_does_not_pass() -> None:
    def verdict(**detail: object) -> Verdict:
        return Step("compare", "Compare", state=DONE, detail=detail).verdict

    assert verdict(points=7) is Verdict.PASS
    assert verdict(discrepancies=2) is Verdict.FAIL
    assert verdict(**{"not shown": 1}) is Verdict.INCONCLUSIVE


def test_what_a_step_found_is_told_in_words() -> None:
    found = {"find": "0.13 s", "lost": ["a", "b"], "points": 7}
    assert Step("restore", "Restore", detail=found).told == "find 0.13 s; lost a, b; points 7"
    assert Step("restore", "Restore").told == ""


def test_an_objective_is_held_by_what_cannot_be_ruled_out(tmp_path: Path) -> None:
    found = read(drill(tmp_path / "run"))
    point = next(o for o in found.objectives if "recovery point" in o.measure.name)
    assert point.verdict is Verdict.PASS
    for interval, verdict in (
        ([290.0, 310.0], Verdict.INCONCLUSIVE),
        ([301.0, 310.0], Verdict.FAIL),
    ):
        object.__setattr__(point.measure, "interval", interval)
        assert point.verdict is verdict


def test_steps_of_the_interrupted_run_are_told_as_carried(tmp_path: Path) -> None:
    page, text = pack(drill(tmp_path / "run", resumed=True))
    assert "20261122T070000Z-drill" in page and "20261122T070000Z-drill" in text
    assert "in the run that this one resumes" in page
    assert text.count("carried") == 2


def test_the_record_is_named_by_its_checksum(tmp_path: Path) -> None:
    directory = drill(tmp_path / "run")
    page, _ = pack(directory)
    assert hashlib.sha256((directory / "run.jsonl").read_bytes()).hexdigest() in page


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    directory = drill(tmp_path / "run")
    assert pack(directory) == pack(directory)


def test_what_a_target_says_is_never_markup(tmp_path: Path) -> None:
    told = "<script>alert(1)</script> | *x*"
    page, text = pack(drill(tmp_path / "run", verdict="fail", last="restore", message=told))
    assert "<script>" not in page
    assert "<script>" not in text


def test_the_name_of_the_case_stays(tmp_path: Path) -> None:
    assert read(drill(tmp_path / "run")).case.id == CASE
