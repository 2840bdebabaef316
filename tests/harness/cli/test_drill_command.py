"""`ragdrill drill`: what was asked for is checked before anything is touched."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from harness.cli.drill import CASE, arguments_of, environment_of
from harness.cli.main import main
from harness.core.errors import UsageError


def options(**given: object) -> argparse.Namespace:
    nothing = dict.fromkeys(("bucket", "date", "operator", "resume", "target", "run_dir"))
    return argparse.Namespace(**{**nothing, "rest": [], **given})


def test_options_go_before_the_environment() -> None:
    environment = environment_of(
        options(date="2026-11-22", operator="j.doe"),
        {"DRILL_DATE": "2026-01-01", "DRILL_BUCKET": "kept", "PATH": "/bin"},
    )
    assert environment["DRILL_DATE"] == "2026-11-22"
    assert environment["DRILL_BUCKET"] == "kept"
    assert environment["DRILL_OPERATOR"] == "j.doe"
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize("day", ["22.11.2026", "2026-13-01", "2026-02-30", "latest"])
def test_a_day_that_is_none_is_refused(day: str) -> None:
    with pytest.raises(UsageError, match="yyyy-mm-dd"):
        environment_of(options(), {"DRILL_DATE": day})


def test_a_drill_to_resume_must_be_there_and_brings_its_own_backup(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no interrupted drill"):
        environment_of(options(resume=tmp_path), {})
    (tmp_path / "drill.json").write_text("{}")
    assert environment_of(options(resume=tmp_path), {})["DRILL_RESUME"] == str(tmp_path)
    with pytest.raises(UsageError, match="goes on with the backup"):
        environment_of(options(resume=tmp_path), {"DRILL_DATE": "2026-11-22"})


def test_a_resumed_drill_runs_nothing_but_the_drill_for_its_stores_may_be_gone() -> None:
    assert f"--case={CASE}" in arguments_of(options(), {"DRILL_RESUME": "runs/earlier"})
    fresh = arguments_of(options(), {})
    assert not [each for each in fresh if each.startswith("--case")]


def test_the_case_of_the_drill_is_one_that_exists() -> None:
    import suites.recovery.test_drill as module

    slug, _, name = CASE.partition("::")
    assert slug == "recovery/rto"
    assert callable(getattr(module, f"test_{name}"))


def test_a_users_mistake_ends_with_4_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--date", "soon"]) == 4
    assert "yyyy-mm-dd" in capsys.readouterr().err
