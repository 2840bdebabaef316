"""Each manual step of the guide has something that runs it, or is told to have nothing yet."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from functools import cache
from typing import Any

import pytest

from chaos.playbooks import PLAYBOOKS
from harness.core import guide
from tests.repo.checkout import ROOT

SLUG = "philosophy/step-has-script"
KINDS = ("script", "sql", "make", "playbook", "command", "missing")


@cache
def _steps() -> tuple[dict[str, str], ...]:
    loaded: dict[str, Any] = tomllib.loads((ROOT / "guide" / "steps.toml").read_text())
    assert loaded["schema"] == 1
    return tuple(loaded["step"])


def _runs(*command: str) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}: {done.stderr[-500:]}"
    return done.stdout


def _means(step: dict[str, str]) -> tuple[str, str]:
    means = [(kind, step[kind]) for kind in KINDS if kind in step]
    assert len(means) == 1, f"{step['step']}: one of {', '.join(KINDS)}, not {means}"
    assert set(step) == {"section", "step", means[0][0]}, f"unknown keys in {step}"
    return means[0]


def _here() -> list[tuple[str, str]]:
    return sorted({_means(step) for step in _steps() if "missing" not in step})


@pytest.mark.parametrize(("kind", "what"), _here(), ids=lambda part: part)
def test_what_runs_a_step_is_there_and_needs_nobody(kind: str, what: str) -> None:
    if kind == "script":
        path = ROOT / what
        run = [sys.executable, str(path)] if path.suffix == ".py" else [str(path)]
        assert "usage" in _runs(*run, "--help").lower()
    elif kind == "command":
        assert "usage" in _runs(sys.executable, "-m", "harness.cli.main", what, "--help").lower()
    elif kind == "make":
        _runs("make", "-n", what)
    elif kind == "sql":
        text = (ROOT / what).read_text()
        assert "select" in text.lower() and "psql" in text, "it says how it is run"
    else:
        playbook, _, step = what.partition("/")
        assert playbook in PLAYBOOKS, f"no playbook {playbook!r}"
        assert PLAYBOOKS[playbook].step(step)


def test_every_section_with_a_procedure_is_in_the_list() -> None:
    told = {section for step in _steps() for section in step["section"].split(", ")}
    assert told == {
        "4",
        "5",
        "5.1",
        "6.1",
        "6.2",
        "6.3",
        "7",
        "8.1",
        "8.2",
        "9.1",
        "9.2",
        "9.3",
        "10",
        "11",
    }


def test_every_step_of_a_playbook_that_the_guide_names_is_in_the_list() -> None:
    listed = {step["playbook"] for step in _steps() if "playbook" in step}
    named = {f"latency/{step.slug}" for step in PLAYBOOKS["latency"].steps}
    assert named <= listed


def test_a_step_without_a_script_keeps_the_requirement_waived_and_no_longer() -> None:
    missing = [step["step"] for step in _steps() if "missing" in step]
    waived = any(waiver.slug == SLUG for waiver in guide.load_all_waivers())
    assert waived is bool(missing), f"waiver: {waived}, steps that nothing runs: {missing}"
