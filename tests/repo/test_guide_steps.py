"""The list of the guide's manual steps is whole, and says what nothing runs yet."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from chaos.playbooks import PLAYBOOKS
from fixtures import guide_steps
from fixtures.guide_steps import GuideStep, load_steps, problem_of
from harness.core import guide
from harness.core.errors import UsageError

SLUG = "philosophy/step-has-script"


def test_every_section_with_a_procedure_is_in_the_list() -> None:
    told = {section for step in load_steps() for section in step.section.split(", ")}
    assert told == {
        *("4", "5", "5.1", "6.1", "6.2", "6.3", "7"),
        *("8.1", "8.2", "9.1", "9.2", "9.3", "10", "11"),
    }


def test_every_step_of_a_playbook_that_the_guide_names_is_in_the_list() -> None:
    listed = {step.what for step in load_steps() if step.kind == "playbook"}
    named = {f"latency/{step.slug}" for step in PLAYBOOKS["latency"].steps}
    assert named <= listed


def test_a_step_without_a_script_keeps_the_requirement_waived_and_no_longer() -> None:
    missing = [step.step for step in load_steps() if step.kind == "missing"]
    waived = any(waiver.slug == SLUG for waiver in guide.load_all_waivers())
    assert waived is bool(missing), f"waiver: {waived}, steps that nothing runs: {missing}"


@pytest.mark.parametrize(
    ("kind", "what", "why"),
    [
        ("script", "scripts/no_such.sh", "no such file"),
        ("sql", "scripts/README.md.sql", "no SQL"),
        ("make", "no-such-target", "exit code 2"),
        ("playbook", "latency/wait-and-see", "no such step"),
        ("command", "no-such-command", "exit code"),
        ("missing", "later", "missing: later"),
    ],
)
def test_what_does_not_run_is_told(kind: str, what: str, why: str) -> None:
    problem = problem_of(GuideStep("4", "a step", kind, what))
    assert problem is not None and why in problem


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ('section = "4"\nstep = "x"', "can't be read"),
        ('section = "4"\nstep = "x"\nmake = "a"\nscript = "b"', "can't be read"),
        ('section = "4"\nstep = "x"\nmissing = "later"', "can't be read"),
        ('section = "4"\nstep = "x"\nmissing = "later"\nuntil = "soon"', "until is a date"),
        ('section = "4"\nstep = "x"\nmake = "a"\nuntil = 2027-01-01', "can't be read"),
    ],
    ids=["nothing", "two", "no date", "no real date", "a date for nothing"],
)
def test_an_entry_that_says_too_little_or_too_much_is_refused(
    entry: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "steps.toml"
    listed.write_text(f"schema = 1\n[[step]]\n{entry}\n")
    monkeypatch.setattr(guide_steps, "STEPS", listed)
    with pytest.raises(UsageError, match=why):
        load_steps()


def test_a_missing_step_has_its_reason_and_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "steps.toml"
    text = (
        'schema = 1\n[[step]]\nsection = "4"\nstep = "x"\nmissing = "later"\nuntil = 2027-01-01\n'
    )
    listed.write_text(text)
    monkeypatch.setattr(guide_steps, "STEPS", listed)
    assert load_steps() == (GuideStep("4", "x", "missing", "later", date(2027, 1, 1)),)
