"""The list of faults says what each one is, and docs/faults.md is that list."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.cli import faults as command
from harness.cli.main import main
from tests.repo.checkout import ROOT


def _ragdrill(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: tests beside this one may have added faults to the registry.
    program = "import sys; from harness.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@cache
def _faults() -> tuple[dict[str, Any], ...]:
    done = _ragdrill("faults", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return tuple(json.loads(done.stdout))


def test_the_committed_page_is_what_the_faults_say() -> None:
    done = _ragdrill("faults", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_fault_says_what_it_does_how_it_is_proven_and_how_it_heals() -> None:
    assert _faults(), "no fault is registered"
    for fault in _faults():
        for part in ("sentence", "about", "hits", "needs", "proof", "heal", "heal_proof"):
            assert fault[part], f"{fault['slug']} says nothing of its {part}"


def test_every_number_that_a_fault_takes_has_a_range_that_is_enforced() -> None:
    """The range is read from the refusal itself: a number without one is never refused."""
    endless = [
        f"{fault['slug']}.{argument['name']}"
        for fault in _faults()
        for argument in fault["arguments"]
        if argument["type"] in ("int", "float") and " to " not in argument["allowed"]
    ]
    assert not endless


def test_every_range_names_its_unit() -> None:
    for fault in _faults():
        for argument in fault["arguments"]:
            _, told, unit = argument["allowed"].partition(" to ")
            if told and argument["type"] in ("int", "float"):
                assert len(unit.split()) > 1, f"{fault['slug']}.{argument['name']}: {unit}"


def test_a_page_that_differs_is_told_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "faults.md"
    monkeypatch.setattr(command, "PAGE", page)
    assert main(["faults", "--check"]) == 1
    assert "ragdrill faults --write" in capsys.readouterr().out
    assert main(["faults", "--write"]) == 0
    assert main(["faults", "--check"]) == 0
    page.write_text(page.read_text().replace("latency", "latancy"))
    assert main(["faults", "--check"]) == 1


def test_the_list_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults"]) == 0
    shown = capsys.readouterr().out
    assert all(fault["slug"] in shown for fault in _faults())


def test_a_wrong_option_is_a_usage_error() -> None:
    assert main(["faults", "--jsom"]) == 4
