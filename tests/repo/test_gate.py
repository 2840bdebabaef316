"""The gate runs every stage, adds up what pytest said, and is red whenever a stage is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.repo.checkout import ROOT

GREEN = {
    "setup": "echo ready",
    "test": "echo '=== 12 passed, 1 skipped in 3.21s ==='",
    "test-slow": "echo '=== 5 passed in 9.00s ==='",
    "lint": "echo 'All checks passed!'",
    "verify": "echo '==== 30 passed in 65.00s (0:01:05) ====='; echo report: runs/x/index.html",
    "soak-scenarios": "echo '=== 3 passed in 2.00s ==='",
    "verify-containers": "echo '6 passed in 1.00s'",
    "defects": "echo '4 passed in 1.00s'",
}


def _gate(tmp_path: Path, **stages: str) -> tuple[int, list[str]]:
    root = tmp_path / "check out"
    (root / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", root / ".ci/run")
    recipes = [f"{name}:\n\t@{recipe}\n" for name, recipe in (GREEN | stages).items()]
    (root / "Makefile").write_text(f".PHONY: {' '.join(GREEN)}\n" + "\n".join(recipes))
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=root, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout.splitlines()


def _row(lines: list[str], stage: str) -> str:
    return next(line for line in reversed(lines) if line.startswith(f"{stage} "))


def test_all_green_ends_with_the_sum_of_every_pytest_run(tmp_path: Path) -> None:
    code, lines = _gate(tmp_path)
    assert code == 0, "\n".join(lines)
    assert lines[-1] == "60 passed, 0 failed, 1 skipped"
    assert _row(lines, "lint").endswith("passed")


def test_a_red_stage_makes_the_gate_red_and_the_rest_still_runs(tmp_path: Path) -> None:
    red = (
        "echo '== 2 failed, 10 passed, 1 error in 3.21s =='; echo 'make test: exit code 1'; exit 1"
    )
    code, lines = _gate(tmp_path, test=red)
    assert code == 1
    assert lines[-1] == "58 passed, 3 failed, 0 skipped"
    assert _row(lines, "test").endswith("failed: exit code 1")
    assert _row(lines, "defects").endswith("passed")


def test_a_stage_that_breaks_without_a_failed_test_counts_as_one(tmp_path: Path) -> None:
    code, lines = _gate(tmp_path, lint="echo 'Found 3 errors.'; exit 1")
    assert (code, lines[-1]) == (1, "60 passed, 1 failed, 1 skipped")


@pytest.mark.parametrize(
    ("recipe", "verdict"),
    [
        ("echo 'no tests ran in 0.01s'; echo 'make test: exit code 5'; exit 5", "ran no test"),
        ("echo 'no tests ran in 0.01s'", "no test ran"),
        ("echo '==== 3 skipped in 0.10s ===='", "no test ran"),
        ("echo all well", "no test ran"),
    ],
)
def test_a_stage_that_ran_no_test_is_red(tmp_path: Path, recipe: str, verdict: str) -> None:
    code, lines = _gate(tmp_path, test=recipe)
    assert code == 1
    assert verdict in _row(lines, "test")


def test_only_the_last_closing_line_of_a_stage_counts(tmp_path: Path) -> None:
    inner = "echo '=== 7 failed in 0.10s ==='; echo '=== 1 passed in 0.20s ==='"
    code, lines = _gate(tmp_path, test=inner)
    assert (code, lines[-1]) == (0, "49 passed, 0 failed, 0 skipped")


def test_colours_do_not_hide_the_closing_line(tmp_path: Path) -> None:
    coloured = r"printf '\033[32m== \033[1m5 passed\033[0m\033[32m in 0.10s ==\033[0m\n'"
    _, lines = _gate(tmp_path, test=coloured)
    assert lines[-1] == "53 passed, 0 failed, 0 skipped"


def test_a_process_left_behind_does_not_keep_the_gate_waiting(tmp_path: Path) -> None:
    left = "(sleep 20 & echo $$! >left.pid); echo '1 passed in 0.10s'"
    try:
        code, _ = _gate(tmp_path, test=left)
    finally:
        pid = (tmp_path / "check out/left.pid").read_text().strip()
        subprocess.run(["kill", pid], check=False, timeout=10)
    assert code == 0


def test_a_stage_that_needs_what_is_not_there_is_told_loudly_and_is_not_red(tmp_path: Path) -> None:
    without = (
        "echo 'engine: NOT RUN: only root can start one' >&2; "
        "echo 'make verify-containers: exit code 75'; exit 75"
    )
    code, lines = _gate(tmp_path, **{"verify-containers": without})
    assert (code, lines[-1]) == (0, "54 passed, 0 failed, 1 skipped")
    assert _row(lines, "containers").endswith("NOT RUN: only root can start one")


def test_no_other_stage_may_stay_out(tmp_path: Path) -> None:
    code, _ = _gate(tmp_path, lint="echo 'make lint: exit code 75'; exit 75")
    assert code == 1
