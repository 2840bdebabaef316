"""The CI examples name commands, options and files that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.cli.main import main
from harness.core.registry import PROFILES
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


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (GITHUB, "github-workflows"),
        (GITLAB, "gitlab-ci"),
        (ROOT / "refstack/compose.yaml", "compose-spec"),
        (ROOT / "refstack/compose.gpu.yaml", "compose-spec"),
    ],
    ids=lambda given: given.name if isinstance(given, Path) else "",
)
def test_what_others_read_follows_their_schema(path: Path, schema: str, tmp_path: Path) -> None:
    assert valid(path, schema) == ""
    # The schema is one that refuses something.
    broken = tmp_path / path.name
    broken.write_text(path.read_text() + "\nservices: 5\njobs: 5\nstages: 5\n")
    assert valid(broken, schema) != ""


def valid(path: Path, schema: str) -> str:
    """What the schema of a product has against a file; empty where nothing."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


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


def test_every_program_that_the_examples_call_is_in_the_checkout() -> None:
    for path in (GITHUB, GITLAB):
        shell = "\n".join(commands(yaml.safe_load(path.read_text())))
        for script, arguments in re.findall(r"\b(scripts/[\w/.-]+\.sh)((?: \w+)*)", shell):
            assert (ROOT / script).is_file()
            known = re.search(r'known_extras="(.*)"', (ROOT / script).read_text())
            assert known and set(arguments.split()) <= set(known.group(1).split())
        for profile in re.findall(r"--profile (\w+)", shell):
            assert profile in PROFILES


def test_every_job_keeps_its_report_whatever_the_verdict() -> None:
    for name, job in yaml.safe_load(GITHUB.read_text())["jobs"].items():
        kept = [s for s in job["steps"] if str(s.get("uses", "")).startswith("actions/upload")]
        assert [s["with"]["path"] for s in kept] == ["runs/"], name
        assert kept[0]["if"] == "always()", name
        assert job["timeout-minutes"] > 0, name
    pipeline = yaml.safe_load(GITLAB.read_text())
    jobs = [job for name, job in pipeline.items() if name.startswith("ragdrill")]
    assert all(job["extends"] == ".ragdrill" for job in jobs)
    for kept in [pipeline[".ragdrill"]["artifacts"], *(j.get("artifacts", {}) for j in jobs)]:
        assert kept.get("when", "always") == "always"
        assert "paths" not in kept or kept["paths"] == ["runs/"]


def test_a_job_that_verifies_tells_its_exit_code_and_shows_the_summary() -> None:
    for name, job in yaml.safe_load(GITHUB.read_text())["jobs"].items():
        steps = [step for step in job["steps"] if "ragdrill verify" in str(step.get("run", ""))]
        for step in steps:
            assert "||" not in step["run"] and not step.get("continue-on-error"), name
            shown = [s for s in job["steps"] if "GITHUB_STEP_SUMMARY" in str(s.get("run", ""))]
            assert shown and shown[0]["if"] == "always()", name
            assert "ragdrill report --annotations" in shown[0]["run"], name


def test_a_gpu_job_waits_for_a_runner_with_one() -> None:
    job = yaml.safe_load(GITHUB.read_text())["jobs"]["gpu"]
    assert "gpu" in job["runs-on"] and "RAGDRILL_GPU" in job["if"]
    pipeline = yaml.safe_load(GITLAB.read_text())
    assert pipeline["ragdrill-gpu"]["tags"] == ["gpu"]
    assert "RAGDRILL_GPU" in pipeline["ragdrill-gpu"]["rules"][0]["if"]


def test_the_drill_is_scheduled_once_a_quarter() -> None:
    # YAML 1.1 reads the key `on` as true.
    schedule = yaml.safe_load(GITHUB.read_text())[True]["schedule"]
    quarterly = schedule[1]["cron"]
    _, _, _, months, weekday = quarterly.split()
    assert (months, weekday) == ("1,4,7,10", "*")
    assert quarterly in yaml.safe_load(GITHUB.read_text())["jobs"]["drill"]["if"]


def test_every_night_random_histories_begin_with_what_was_found_before() -> None:
    pipeline = yaml.safe_load(GITHUB.read_text())
    nightly = pipeline["jobs"]["nightly"]
    *_, months, weekday = pipeline[True]["schedule"][0]["cron"].split()
    assert (months, weekday) == ("*", "*") and pipeline[True]["schedule"][0]["cron"] in nightly[
        "if"
    ]
    kept = [s for s in nightly["steps"] if "runs/hypothesis" in str(s.get("with", ""))]
    assert [s["uses"].split("@")[0].split("/")[-1] for s in kept] == ["restore", "save"]
    assert kept[1]["if"].startswith("always()"), "a night that failed is the one to remember"
    other = yaml.safe_load(GITLAB.read_text())["ragdrill-nightly"]["cache"]
    assert any(c["paths"] == ["runs/hypothesis"] and c["when"] == "always" for c in other)


def test_the_page_on_ci_tells_every_exit_code() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    told = {int(code) for code in re.findall(r"^\| (\d) \|", page, re.MULTILINE)}
    assert told == {code for code in vars(ExitCode).values() if isinstance(code, int)}
