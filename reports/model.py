"""Reads a run directory into cases, requirements, faults and scenario events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core import events
from harness.core.history import Record, read_history
from harness.core.verdicts import Verdict, worst


@dataclass
class Fault:
    """One use of a fault; ``landed`` and ``healed`` are ``None`` while no proof was recorded."""

    fault_id: str
    name: str
    on: str
    arguments: dict[str, Any]
    case: str
    arm: str
    injected_at: float
    landed: bool | None = None
    landed_at: float | None = None
    healed: bool | None = None
    healed_at: float | None = None
    proof: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} on {self.on}"


@dataclass
class Case:
    """All that a history says of one case. ``verdict`` is the worst that was given; a case that
    began and never ended is an error, one that was selected and never began is a skip."""

    id: str
    slug: str
    title: str = ""
    nodeid: str = ""
    needs: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    started_at: float | None = None
    starts: int = 0
    verdicts: list[events.CaseVerdict] = field(default_factory=list)
    observations: list[events.Observation] = field(default_factory=list)
    measures: list[events.Measure] = field(default_factory=list)
    samples: list[events.Samples] = field(default_factory=list)
    dashboards: list[events.DashboardPreview] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    phases: list[tuple[float, events.ScenarioPhase]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.id.rpartition("::")[2]

    @property
    def broke_off(self) -> bool:
        return self.starts > len(self.verdicts) or bool(self.observations and not self.verdicts)

    @property
    def verdict(self) -> Verdict:
        if self.broke_off:
            return Verdict.ERROR
        return worst(parse_verdict(said.verdict) for said in self.verdicts)

    @property
    def deciding(self) -> events.CaseVerdict | None:
        """The recorded verdict that decides (the first of the worst)."""
        return max(self.verdicts, key=lambda said: parse_verdict(said.verdict).rank, default=None)

    @property
    def seconds(self) -> float:
        return sum(said.seconds for said in self.verdicts)

    @property
    def message(self) -> str:
        if self.broke_off:
            return "The case began and never ended: its process died or the run was cut off."
        if self.deciding is None:
            return "Selected, but the run ended before its turn."
        return self.deciding.message

    @property
    def bad_observations(self) -> list[events.Observation]:
        return [
            seen for seen in self.observations if parse_verdict(seen.verdict) is not Verdict.PASS
        ]


@dataclass
class Requirement:
    """A requirement of the guide with the cases that ran for it."""

    slug: str
    level: str
    section: str
    sentence: str
    waiver: dict[str, str] | None
    listed: bool = True
    cases: list[Case] = field(default_factory=list)

    @property
    def area(self) -> str:
        return self.slug.partition("/")[0]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its cases; with no case at all it is a skip."""
        return worst(case.verdict for case in self.cases)

    @property
    def status(self) -> str:
        """``met`` if every case passed, ``not met`` if one failed, else ``not shown``; one whose
        cases show only a part of it, as its waiver says, is not met by their passing."""
        if self.verdict is Verdict.PASS:
            in_part = self.waiver is not None and self.waiver.get("kind") == "in-part"
            return "not shown" if in_part else "met"
        if any(case.verdict is Verdict.FAIL for case in self.cases):
            return "not met"
        return "not shown"


@dataclass
class Run:
    """One run as its history tells it; lists keep the order of time."""

    directory: Path
    start: events.RunStart | None = None
    starts: int = 0
    started_at: float | None = None
    last_at: float | None = None
    requirements: dict[str, Requirement] = field(default_factory=dict)
    objectives: list[events.ObjectiveKnown] = field(default_factory=list)
    components: list[events.ComponentSeen] = field(default_factory=list)
    notes: list[events.Note] = field(default_factory=list)
    ready: list[events.StackReady] = field(default_factory=list)
    gone: list[events.StackGone] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    alerts: list[events.AlertSeen] = field(default_factory=list)
    steps: list[tuple[float, events.PlaybookStep]] = field(default_factory=list)
    ends: list[events.RunVerdict] = field(default_factory=list)
    selected: list[str] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)

    @property
    def recorded(self) -> events.RunVerdict | None:
        """What the run itself said at its end; ``None`` if it was cut off."""
        return self.ends[-1] if self.ends else None

    @property
    def seconds(self) -> float | None:
        if self.recorded is not None:
            return self.recorded.seconds
        if self.started_at is None or self.last_at is None:
            return None
        return self.last_at - self.started_at

    @property
    def stand_ins(self) -> list[events.ComponentSeen]:
        return [part for part in self.components if part.stand_in]

    def by_verdict(self, *wanted: Verdict) -> list[Case]:
        """Cases with one of the ``wanted`` verdicts, worst first, then by id."""
        found = [case for case in self.cases.values() if case.verdict in wanted]
        return sorted(found, key=lambda case: (-case.verdict.rank, case.id))

    def counts(self) -> dict[Verdict, int]:
        """Number of cases by verdict, worst first, zeros included."""
        found = dict.fromkeys(reversed(Verdict), 0)
        for case in self.cases.values():
            found[case.verdict] += 1
        return found


def parse_verdict(word: str) -> Verdict:
    """Return the verdict of this name; a word that is none of the five is an error."""
    try:
        return Verdict(word)
    except ValueError:
        return Verdict.ERROR


def load(run_dir: Path) -> Run:
    """Read the history in ``run_dir``.

    Raises:
        HarnessError: there is no history, or it is damaged or too new (see ``read_history``).
    """
    return assemble(run_dir, read_history(run_dir))


def assemble(run_dir: Path, records: Iterable[Record]) -> Run:
    """Build a run from its records, in order of time."""
    run = Run(run_dir)
    for record in records:
        if run.started_at is None:
            run.started_at = record.t
        run.last_at = record.t
        if record.kind == "run.selected":
            run.selected += [str(case) for case in record.fields.get("cases", [])]
        if record.event is not None:
            _take(run, record.t, record.event)
    for case_id in run.selected:
        _case(run, case_id)
    _bind_requirements(run)
    for fault in run.faults:
        if fault.case in run.cases:
            run.cases[fault.case].faults.append(fault)
    return run


def _take(run: Run, t: float, event: events.Event) -> None:
    match event:
        case events.RunStart():
            run.starts += 1
            if run.start is None:
                run.start, run.started_at = event, t
        case events.RequirementKnown():
            run.requirements[event.slug] = Requirement(
                event.slug, event.level, event.section, event.sentence, event.waiver
            )
        case events.ObjectiveKnown():
            run.objectives.append(event)
        case events.ComponentSeen():
            if event not in run.components:
                run.components.append(event)
        case events.StackReady():
            run.ready.append(event)
        case events.StackGone():
            run.gone.append(event)
        case events.Note():
            run.notes.append(event)
        case events.AlertSeen():
            run.alerts.append(event)
        case events.PlaybookStep():
            run.steps.append((t, event))
        case events.RunVerdict():
            run.ends.append(event)
        case events.FaultInjected() | events.FaultLanded() | events.FaultHealed():
            _take_fault(run, t, event)
        case _:
            _take_case(run, t, event)


def _take_case(run: Run, t: float, event: events.Event) -> None:
    match event:
        case events.CaseStart():
            case = _case(run, event.case)
            case.starts += 1
            case.slug, case.title, case.nodeid = event.slug, event.title, event.nodeid
            case.needs, case.roles = event.needs, event.roles
            if case.started_at is None:
                case.started_at = t
        case events.CaseVerdict():
            case = _case(run, event.case)
            case.slug = event.slug
            case.verdicts.append(event)
        case events.Observation():
            _case(run, event.case).observations.append(event)
        case events.Measure():
            _case(run, event.case).measures.append(event)
        case events.Samples():
            _case(run, event.case).samples.append(event)
        case events.DashboardPreview():
            _case(run, event.case).dashboards.append(event)
        case events.ScenarioPhase():
            _case(run, event.case).phases.append((t, event))


def _take_fault(
    run: Run,
    t: float,
    event: events.FaultInjected | events.FaultLanded | events.FaultHealed,
) -> None:
    if isinstance(event, events.FaultInjected):
        run.faults.append(
            Fault(event.fault_id, event.fault, event.on, event.arguments, event.case, event.arm, t)
        )
        return
    same = (fault for fault in reversed(run.faults) if fault.fault_id == event.fault_id)
    fault = next(same, None)
    if fault is None:
        run.oddities.append(f"{event.KIND} names fault {event.fault_id}, which was never injected")
    elif isinstance(event, events.FaultLanded):
        if not fault.landed:
            fault.landed, fault.landed_at, fault.proof = event.landed, t, event.proof
    elif not fault.healed:
        fault.healed, fault.healed_at = event.healed, t


def _case(run: Run, case_id: str) -> Case:
    if case_id not in run.cases:
        run.cases[case_id] = Case(case_id, case_id.partition("::")[0])
    return run.cases[case_id]


def _bind_requirements(run: Run) -> None:
    for case in sorted(run.cases.values(), key=lambda case: case.id):
        requirement = run.requirements.get(case.slug)
        if requirement is None:
            requirement = Requirement(case.slug, "", "", case.title, None, listed=False)
            run.requirements[case.slug] = requirement
        if not case.title:
            case.title = requirement.sentence
        requirement.cases.append(case)
