"""The verdict of a run, worked out again from its cases, and the words that say what it rests on.

Nothing here trusts ``run.verdict``: it is compared with what the cases say, and a history that
contradicts itself, or that ends too early, is an error however green its last line is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from harness.core.verdicts import ExitCode, Verdict, exit_code, worst
from reports.model import Case, Requirement, Run, parse_verdict
from reports.wording import many, utc

GLOSSARY: tuple[tuple[Verdict, str], ...] = (
    (Verdict.ERROR, "The harness or the set-up broke, so nothing is known about the target."),
    (Verdict.FAIL, "The target was seen to break the requirement."),
    (Verdict.INCONCLUSIVE, "The evidence was not enough for a pass or a fail."),
    (Verdict.SKIP, "The check did not run, so the requirement was not shown."),
    (Verdict.PASS, "The target was seen to meet the requirement. Only this counts."),
)
"""The verdicts, worst first; the worst of its cases is the verdict of a run."""


@dataclass(frozen=True)
class Tally:
    """How many requirements of one level are met, not met and not shown."""

    level: str
    met: int
    not_met: int
    not_shown: int
    waived: int

    @property
    def total(self) -> int:
        return self.met + self.not_met + self.not_shown


@dataclass(frozen=True)
class Judgement:
    """What a run shows. ``problems`` are contradictions in its record: each makes it an error."""

    run: Run
    problems: tuple[str, ...]

    @cached_property
    def verdict(self) -> Verdict:
        found = [case.verdict for case in self.run.cases.values()]
        return worst([*found, Verdict.ERROR] if self.problems else found)

    @cached_property
    def counts(self) -> dict[Verdict, int]:
        return self.run.counts()

    @cached_property
    def tallies(self) -> list[Tally]:
        """Requirements by level, MUST first; cases of unlisted requirements are left out."""
        listed = [each for each in self.run.requirements.values() if each.listed]
        levels = sorted({each.level for each in listed}, key=lambda level: (level != "MUST", level))
        return [_tally(level, listed, self.run) for level in levels]

    @cached_property
    def headline(self) -> str:
        """One sentence that opens every report."""
        total, counts = len(self.run.cases), self.counts
        if self.run.recorded is None:
            return "The run was cut off before its end, so it proves nothing."
        if self.verdict is Verdict.ERROR:
            if counts[Verdict.ERROR]:
                rest = [
                    f"{counts[verdict]} {word}"
                    for verdict, word in (
                        (Verdict.FAIL, "failed"),
                        (Verdict.INCONCLUSIVE, "without enough evidence"),
                    )
                    if counts[verdict]
                ]
                more = f"; {', '.join(rest)}" if rest else ""
                return f"{_of(counts[Verdict.ERROR], total)} could not be judged{more}."
            return "The record of this run cannot be relied on."
        if self.verdict is Verdict.FAIL:
            return f"{_of(counts[Verdict.FAIL], total)} failed."
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"The evidence was not enough for {_of(counts[Verdict.INCONCLUSIVE], total)}."
        if not counts[Verdict.PASS]:
            return (
                "Nothing was shown: no case ran to a verdict."
                if total
                else ("Nothing was shown: the run held no case.")
            )
        if self.verdict is Verdict.SKIP:
            return f"{_of(counts[Verdict.SKIP], total)} did not run, so not everything was shown."
        return "The one case passed." if total == 1 else f"All {total} cases passed."

    @cached_property
    def shown(self) -> list[str]:
        """One sentence per level on the requirements that were met, not met and not shown."""
        if not self.tallies:
            return ["The history lists no requirement of the guide, so none was shown."]
        return [
            f"Of {many(tally.total, f'{tally.level} requirement')} in the guide, {tally.met} met, "
            f"{tally.not_met} not met, {tally.not_shown} not shown"
            + (f" ({tally.waived} under a waiver)." if tally.waived else ".")
            for tally in self.tallies
        ]

    @cached_property
    def caveats(self) -> list[str]:
        """What a reader must know beside headline and requirements, most important first."""
        run, said = self.run, []
        if run.stand_ins:
            parts = ", ".join(f"{part.role} ({part.software})" for part in run.stand_ins)
            said.append(
                f"This run used stand-ins for {parts}. What it shows of them does not carry over "
                "to the software they stand in for."
            )
        if not run.components:
            said.append("The record names no component, so it is unknown what software was tested.")
        if run.start is not None and run.start.time_scale != 1 and run.alerts:
            said.append(
                "Alerts fired by copies of the rules whose windows were divided by "
                f"{run.start.time_scale:g} (--time-scale)."
            )
        if run.start is not None and run.start.git.get("dirty"):
            said.append("The checkout had uncommitted changes.")
        if run.recorded is not None and run.recorded.accept_skips and self.counts[Verdict.SKIP]:
            said.append("Skipped cases were accepted for the exit code; they still show nothing.")
        return said


def judge(run: Run) -> Judgement:
    """Work out the verdict of ``run`` and everything that speaks against its record."""
    problems = [
        *_whole(run),
        *_agrees(run),
        *(problem for case in run.cases.values() for problem in _case_holds(case)),
        *_faults_undone(run),
        *(f"{oddity}." for oddity in run.oddities),
    ]
    return Judgement(run, tuple(problems))


def waiver_text(requirement: Requirement, run: Run) -> str:
    """Return the reason and end of a waiver, or an empty string; an expired one says so."""
    if not requirement.waiver:
        return ""
    until = requirement.waiver.get("until", "")
    reason = requirement.waiver.get("reason", "no reason given")
    when = utc(run.started_at)[:10] if run.started_at is not None else ""
    if until and when > until:
        return f"Waiver expired on {until}: {reason}"
    return f"Waived until {until}: {reason}" if until else f"Waived: {reason}"


def waiver_holds(requirement: Requirement, run: Run) -> bool:
    """Whether a waiver was in force on the day of the run. It explains; it never counts as met."""
    return waiver_text(requirement, run).startswith("Waived")


def _tally(level: str, listed: list[Requirement], run: Run) -> Tally:
    mine = [each for each in listed if each.level == level]
    status = Counter(each.status for each in mine)
    waived = sum(1 for each in mine if waiver_holds(each, run) and each.status != "met")
    return Tally(level, status["met"], status["not met"], status["not shown"], waived)


def _of(count: int, total: int) -> str:
    return f"{count} of {many(total, 'case')}"


def _whole(run: Run) -> list[str]:
    said = []
    if run.starts != 1:
        said.append(f"The history holds {run.starts} starts of a run where there must be one.")
    if not run.ends:
        last = "nothing" if run.last_at is None else f"its last record is of {utc(run.last_at)}"
        open_cases = sorted(case.id for case in run.cases.values() if case.broke_off)
        during = f"; open at that moment: {', '.join(open_cases)}" if open_cases else ""
        said.append(f"The history has no run.verdict: the run was cut off ({last}{during}).")
    if len(run.ends) > 1:
        said.append(f"The history holds {len(run.ends)} final verdicts where there must be one.")
    return said


def _agrees(run: Run) -> list[str]:
    """Hold the run's own last word against its cases."""
    end, said = run.recorded, []
    if end is None:
        return []
    verdicts = [case.verdict for case in run.cases.values()]
    recorded, found = parse_verdict(end.verdict), worst(verdicts)
    if recorded is Verdict.ERROR and found is not Verdict.ERROR:
        why = " ".join(note.text for note in run.notes if note.level == "warning")
        said.append(
            f"The run ended in an error outside its cases (exit code {end.exit_code})."
            + (f" {why}" if why else "")
        )
    elif recorded is not found:
        said.append(f"The run's last word is {end.verdict}, but the worst of its cases is {found}.")
    if end.exit_code == ExitCode.PASS and exit_code(verdicts, accept_skips=end.accept_skips):
        said.append(f"The run told its caller that all is well (exit code 0), with {found} cases.")
    events = Counter(
        parse_verdict(each.verdict) for case in run.cases.values() for each in case.verdicts
    )
    counted = {verdict: end.counts.get(verdict.value, 0) for verdict in Verdict}
    if any(counted[verdict] != events[verdict] for verdict in Verdict):
        said.append(
            f"The run counted {_count_text(counted)}, but its cases are {_count_text(events)}."
        )
    said += [
        f"{case_id} was selected and has no verdict."
        for case_id in dict.fromkeys(run.selected)
        if not run.cases[case_id].verdicts
    ]
    return said


def _count_text(counts: dict[Verdict, int]) -> str:
    return (
        ", ".join(f"{counts[verdict]} {verdict}" for verdict, _ in GLOSSARY if counts.get(verdict))
        or "nothing"
    )


def _case_holds(case: Case) -> list[str]:
    """Hold a case that claims a pass against what it recorded."""
    unknown = [each.verdict for each in case.verdicts if each.verdict not in set(map(str, Verdict))]
    said = [f"{case.id} has a verdict that does not exist: {word}." for word in unknown]
    if case.verdict is not Verdict.PASS:
        return said
    if not case.observations:
        said.append(f"{case.id} says pass, but recorded nothing that it looked at.")
    said += [
        f"{case.id} says pass, but recorded {seen.verdict} for: {seen.what}."
        for seen in case.bad_observations
    ]
    said += [
        f"{case.id} says pass, but its fault {fault} "
        + ("was proven not to have landed." if fault.landed is False else "was never proven.")
        for fault in case.faults
        if not fault.landed
    ]
    return said


def _faults_undone(run: Run) -> list[str]:
    return [
        f"The fault {fault} ({fault.fault_id}) "
        + ("could not be undone." if fault.healed is False else "was never undone.")
        for fault in run.faults
        if not fault.healed and (run.recorded is not None or fault.healed is False)
    ]
