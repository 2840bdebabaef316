"""The CI examples name commands, options and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.cli.main import main
from harness.core.verdicts import ExitCode
from tests.repo.checkout import ROOT

GITHUB = ROOT / ".github/workflows/ragdrill.yml"
GITLAB = ROOT / "docs/ci/gitlab-ci.yml"


def commands(found: object) -> list[str]:
    """Every shell line of a pipeline: the values of ``run``, ``script`` and ``before_script``."""
    if isinstance(found, list):
        return [line for each in found for line in commands(each)]
    if not isinstance(found, dict):
        return []
    lines = []
    for key, value in found.items():
        if key in ("run", "script", "before_script"):
            lines += [value] if isinstance(value, str) else list(value)
        else:
            lines += commands(value)
    return lines


@pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=["github", "gitlab"])
def test_every_command_of_the_examples_exists(path: Path) -> None:
    shell = "\n".join(commands(yaml.safe_load(path.read_text())))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z-]+)", shell))
    assert used and used <= targets
    subcommands = set(re.findall(r"ragdrill ([a-z]+)", shell))
    assert "verify" in subcommands
    for name in subcommands:
        assert main([name, "--help"]) == 0


def test_the_options_of_the_github_example_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--help"]) == 0
    assert "--annotations" in capsys.readouterr().out
    assert main(["verify", "--help"]) == 0
    assert "--profile" in capsys.readouterr().out


def test_the_drill_is_scheduled_once_a_quarter() -> None:
    # YAML 1.1 reads the key `on` as true.
    schedule = yaml.safe_load(GITHUB.read_text())[True]["schedule"]
    _, _, _, months, weekday = schedule[0]["cron"].split()
    assert (months, weekday) == ("1,4,7,10", "*")


def test_the_page_on_ci_tells_every_exit_code() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    told = {int(code) for code in re.findall(r"^\| (\d) \|", page, re.MULTILINE)}
    assert told == {code for code in vars(ExitCode).values() if isinstance(code, int)}
