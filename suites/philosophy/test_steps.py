"""philosophy/step-has-script: what the guide tells people to do has something that does it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from fixtures.guide_steps import load_steps, problem_of
from harness import conformance
from harness.core.evidence import Evidence

AT_ONCE = 4


@conformance("philosophy/step-has-script", since="0.2")
def test_what_runs_a_step_of_the_guide_is_there_and_needs_nobody(evidence: Evidence) -> None:
    """Each manual step that the guide names MUST have a script, playbook step or command that is
    there and starts with nobody at a terminal, or a dated reason why it has none yet."""
    steps = load_steps()
    runs = [step for step in steps if step.kind != "missing"]
    with ThreadPoolExecutor(AT_ONCE) as asking:
        problems = dict(zip(runs, asking.map(problem_of, runs), strict=True))
    for step, problem in problems.items():
        evidence.require(
            f"§{step.section}, {step.step}: {step.kind} {step.what} runs it",
            problem is None,
            expected="it is there, and starts with nobody at a terminal",
            actual=problem or "so it is",
        )
    today = datetime.now(UTC).date()
    for step in steps:
        if step.kind == "missing":
            evidence.require(
                f"§{step.section}, {step.step}: nothing runs it yet, for a reason that still holds",
                step.until is not None and today <= step.until,
                expected="a reason with a date that has not passed",
                actual=f"{step.what} (until {step.until})",
            )
    evidence.measure("steps of the guide that nothing runs yet", len(steps) - len(runs), "count")
