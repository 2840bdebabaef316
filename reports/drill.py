"""Reads a disaster-recovery drill out of a run's history: the substance of its evidence pack."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core import events
from harness.core.history import HISTORY_FILE, read_history
from harness.core.verdicts import Verdict
from reports.judgement import Judgement
from reports.model import Case, parse_verdict
from reports.wording import duration, many, value_text

DONE, FAILED, CARRIED, CUT_OFF, NOT_REACHED = "done", "failed", "carried", "cut off", "not reached"


@dataclass
class Step:
    """One step of the plan and what became of it; times are UTC seconds, ``limit`` is seconds."""

    name: str
    title: str
    limit: float | None = None
    source: str = ""
    state: str = NOT_REACHED
    began_at: float | None = None
    ended_at: float | None = None
    seconds: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Pass only for a step that was done, in this run or the one it resumes, in time, and that
        noted nothing."""
        if self.state in (DONE, CARRIED):
            if self.late or self.detail.get("discrepancies"):
                return Verdict.FAIL
            return Verdict.INCONCLUSIVE if self.detail.get("not shown") else Verdict.PASS
        if self.state == NOT_REACHED:
            return Verdict.SKIP
        return Verdict.FAIL if self.state == FAILED else Verdict.ERROR

    @property
    def told(self) -> str:
        """What it found, in words: each thing with its value."""
        return "; ".join(f"{name} {value_text(value, 1000)}" for name, value in self.detail.items())

    @property
    def late(self) -> bool:
        return self.limit is not None and self.seconds is not None and self.seconds > self.limit


@dataclass
class Objective:
    """A measure of the drill that has a limit."""

    measure: events.Measure

    @property
    def verdict(self) -> Verdict:
        """By the far end of the measure's interval, because that much cannot be ruled out."""
        measure = self.measure
        limit = measure.limit if measure.limit is not None else float("inf")
        low, high = measure.interval or [measure.value, measure.value]
        if measure.side == "min":
            low, high, limit = -high, -low, -limit
        if high <= limit:
            return Verdict.PASS
        return Verdict.FAIL if low > limit else Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class Discrepancy:
    """Something that was not as it must be: ``where`` is a step or what was compared."""

    verdict: Verdict
    where: str
    expected: Any = None
    actual: Any = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Drill:
    """One drill. ``began_at`` is UTC seconds; ``history_sha256`` is that of the run's record."""

    case: Case
    judgement: Judgement
    operator: str
    resumed_from: str
    began_at: float
    steps: list[Step]
    backup: events.DrillBackup | None
    history_sha256: str

    @property
    def verdict(self) -> Verdict:
        """The case's own verdict; a record that does not hold makes it an error."""
        return Verdict.ERROR if self.judgement.problems else self.case.verdict

    @property
    def objectives(self) -> list[Objective]:
        return [Objective(each) for each in self.case.measures if each.limit is not None]

    @property
    def figures(self) -> list[events.Measure]:
        """Measures without a limit."""
        return [each for each in self.case.measures if each.limit is None]

    @property
    def discrepancies(self) -> list[Discrepancy]:
        """Every observation that is no pass, every step that was not done, every missed limit."""
        found = [
            Discrepancy(
                parse_verdict(seen.verdict), seen.what, seen.expected, seen.actual, seen.details
            )
            for seen in self.case.bad_observations
        ]
        found += [
            Discrepancy(objective.verdict, objective.measure.name, _limit(objective), None)
            for objective in self.objectives
            if objective.verdict is not Verdict.PASS
        ]
        for step in self.steps:
            if step.state in (FAILED, CUT_OFF):
                found.append(
                    Discrepancy(
                        step.verdict, f"step: {step.title}", "done", step.state, step.detail
                    )
                )
            elif step.late and step.limit is not None and step.seconds is not None:
                found.append(
                    Discrepancy(
                        Verdict.FAIL,
                        f"step: {step.title}",
                        f"at most {duration(step.limit)} ({step.source})",
                        duration(step.seconds),
                    )
                )
        return found

    @property
    def unreached(self) -> list[Step]:
        return [step for step in self.steps if step.state == NOT_REACHED]

    @property
    def compared(self) -> int:
        """How many things were looked at."""
        return len(self.case.observations)

    @property
    def seconds(self) -> float:
        """What all steps took together, those of an interrupted run before it included."""
        return sum(step.seconds or 0.0 for step in self.steps)

    @property
    def headline(self) -> str:
        """One sentence that opens the report."""
        found = many(len(self.discrepancies), "discrepancy", "discrepancies")
        if self.judgement.problems:
            return "The record of this drill does not hold, so it proves nothing."
        if self.verdict is Verdict.PASS:
            return f"The drill passed: {many(len(self.steps), 'step')}, no discrepancy."
        if self.verdict is Verdict.FAIL:
            return f"The drill failed: {found}."
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"The drill did not show everything: {found}."
        if self.verdict is Verdict.SKIP:
            return "The drill did not run, so nothing was shown."
        done = sum(1 for step in self.steps if step.state in (DONE, CARRIED))
        return f"The drill broke off after {done} of {many(len(self.steps), 'step')}."


def drills(run_dir: Path, judgement: Judgement) -> list[Drill]:
    """Return the drills of a run in order of time; empty for a run without one.

    Raises:
        HarnessError: there is no readable history.
    """
    began: dict[str, tuple[float, events.DrillBegan]] = {}
    steps: dict[str, list[tuple[float, events.DrillStep]]] = {}
    backups: dict[str, events.DrillBackup] = {}
    for record in read_history(run_dir):
        match record.event:
            case events.DrillBegan() as event:
                began[event.case] = (record.t, event)
            case events.DrillStep() as event:
                steps.setdefault(event.case, []).append((record.t, event))
            case events.DrillBackup() as event:
                backups[event.case] = event
    if not began:
        return []
    sha256 = hashlib.sha256((run_dir / HISTORY_FILE).read_bytes()).hexdigest()
    return [
        Drill(
            case=judgement.run.cases.get(case) or Case(case, case.partition("::")[0]),
            judgement=judgement,
            operator=event.operator,
            resumed_from=event.resumed_from,
            began_at=t,
            steps=_steps(event.plan, steps.get(case, [])),
            backup=backups.get(case),
            history_sha256=sha256,
        )
        for case, (t, event) in began.items()
    ]


def _steps(plan: list[dict[str, Any]], said: list[tuple[float, events.DrillStep]]) -> list[Step]:
    found = {
        str(each["step"]): Step(
            str(each["step"]),
            str(each.get("title") or each["step"]),
            each.get("limit"),
            str(each.get("source") or ""),
        )
        for each in plan
    }
    for t, event in said:
        step = found.setdefault(event.step, Step(event.step, event.step))
        if event.state == "began":
            step.state, step.began_at = CUT_OFF, t
            continue
        known = event.state in (DONE, FAILED, CARRIED)
        step.state = event.state if known else CUT_OFF
        step.ended_at, step.seconds, step.detail = t, event.seconds, event.detail
        if step.began_at is None and event.state != CARRIED and event.seconds is not None:
            step.began_at = t - event.seconds
    return list(found.values())


def _limit(objective: Objective) -> str:
    measure = objective.measure
    bound = "at least" if measure.side == "min" else "at most"
    return f"{bound} {measure.limit} {measure.unit}; it is {measure.value:.6g}"
