"""The GitHub example's own shell lines, run as its runner would: verdict, annotations, summary."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repo.checkout import ROOT, files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CASE = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
DEFECT = "answers_cached_without_tenant"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of its own, as a runner has one, with this one's environment."""
    place = tmp_path / "checkout"
    for path in files():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, place / path)
    (place / ".venv").symlink_to(ROOT / ".venv")
    return place


def steps(job: str) -> list[dict[str, Any]]:
    """The steps that run commands, but for the set-up, which is this environment's."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ragdrill.yml").read_text())
    told = [step for step in workflow["jobs"][job]["steps"] if "run" in step]
    return [step for step in told if not step["run"].startswith("make setup")]


def run_job(checkout: Path, job: str, **more: str) -> tuple[list[int], str, str]:
    """Run a job's steps as GitHub does; returns their exit codes, what they said, the summary."""
    summary = checkout / "step-summary.md"
    temporary = checkout.parent / "temporary"
    temporary.mkdir()
    env = {
        **os.environ,
        "CI": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "PYTHONPATH": os.pathsep.join([str(checkout), str(ROOT / "tests/defects/inject")]),
        "PYTEST_ADDOPTS": f"--case={CASE}",
        "TMPDIR": str(temporary),
        **more,
    }
    codes: list[int] = []
    said = ""
    for step in steps(job):
        if any(codes) and step.get("if") != "always()":
            continue
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=checkout,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        codes.append(done.returncode)
        said += done.stdout + done.stderr
    return codes, said, summary.read_text() if summary.exists() else ""


def test_a_red_run_ends_the_job_and_is_annotated_and_summed_up(checkout: Path) -> None:
    codes, said, summary = run_job(checkout, "verify", RAGDRILL_DEFECT=DEFECT)
    assert codes == [1, 0], said
    lines = [line for line in said.splitlines() if line.startswith("::error ")]
    assert len(lines) == 1 and CASE.replace(":", "%3A") in lines[0], said
    assert "FAIL: 1 of 1 case failed" in summary and CASE in summary
    (run,) = (checkout / "runs").iterdir()
    assert {"index.html", "junit.xml", "run.jsonl", "summary.md"} <= {p.name for p in run.iterdir()}


def test_a_stack_that_does_not_come_up_is_an_error_that_is_annotated(checkout: Path) -> None:
    codes, said, summary = run_job(checkout, "verify", RAGDRILL_CACHE="/proc/no-such-place")
    assert codes == [2, 0], said
    assert any(line.startswith("::error ") for line in said.splitlines()), said
    assert summary
