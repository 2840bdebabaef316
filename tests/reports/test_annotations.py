"""Annotations name what was not shown, worst first, and nothing of a target breaks out of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import full, passing_run

from harness.core.verdicts import Verdict
from reports import annotations
from reports.__main__ import main
from reports.judgement import judge
from reports.model import Case, load


def test_each_case_that_did_not_pass_is_one_line(tmp_path: Path) -> None:
    found = judge(load(full(tmp_path)))
    lines = annotations.render(found).splitlines()
    counts = found.counts
    red = counts[Verdict.ERROR] + counts[Verdict.FAIL] + len(found.problems)
    assert sum(line.startswith("::error ") for line in lines) == red
    assert sum(line.startswith("::warning ") for line in lines) == counts[Verdict.INCONCLUSIVE]
    assert sum(line.startswith("::notice ") for line in lines) == counts[Verdict.SKIP]
    failed = next(iter(found.run.by_verdict(Verdict.FAIL)))
    assert any(failed.id.replace(":", "%3A") in line and "again: " in line for line in lines)


def test_a_run_without_blemish_says_nothing(tmp_path: Path) -> None:
    assert annotations.render(judge(load(passing_run(tmp_path)))) == ""


def test_text_of_a_target_can_not_make_a_command_of_its_own(tmp_path: Path) -> None:
    found = judge(load(full(tmp_path)))
    found.run.cases["x/y::evil,title=z"] = Case("x/y::evil,title=z", "x/y", nodeid="a,b.py::t")
    lines = annotations.render(found).splitlines()
    mine = [line for line in lines if "evil" in line]
    assert len(mine) == 1
    assert "file=a%2Cb.py,title=" in mine[0] and "evil%2Ctitle=z" in mine[0]
    assert annotations._data("one\n::error::two 5 %") == "one%0A::error::two 5 %25"


def test_more_than_are_shown_are_counted(tmp_path: Path) -> None:
    found = judge(load(passing_run(tmp_path)))
    for number in range(14):
        found.run.cases[f"x/y::{number}"] = Case(f"x/y::{number}", "x/y")
    lines = annotations.render(found).splitlines()
    assert len(lines) == annotations.MOST
    assert "5 more cases" in lines[-1]


def test_the_command_prints_them_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = full(tmp_path)
    before = sorted(run.rglob("*"))
    assert main([str(run), "--annotations"]) == 0
    assert capsys.readouterr().out.startswith("::error ")
    assert sorted(run.rglob("*")) == before
