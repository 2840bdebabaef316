"""Brings what a scenario recorded into arms on one time axis, zero being when the fault came on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from harness.core import events
from reports.model import Case, Fault, Run
from reports.sampling import Sample, SampleFile, WindowPoint, back_under, slide, window_seconds

_ORDER = {"treated": 0, "control": 1}


@dataclass(frozen=True)
class Moment:
    """Something that happened, ``at`` seconds after the fault came on; ``ok`` only where told."""

    at: float
    what: str
    kind: str
    ok: bool | None = None
    number: int | None = None
    stage: str = ""
    state: str = ""


@dataclass(frozen=True)
class Span:
    """A stretch of time; ``to`` is the end of the arm where nothing ended it."""

    start: float
    to: float
    what: str
    kind: str = ""


@dataclass(frozen=True)
class Arm:
    """One arm: everything in seconds after its ``zero`` (UTC)."""

    name: str
    zero: float
    zero_is: str
    start: float
    end: float
    phases: tuple[Span, ...]
    faults: tuple[Span, ...]
    alerts: tuple[Moment, ...]
    steps: tuple[Moment, ...]
    moments: tuple[Moment, ...]
    samples: tuple[Sample, ...]
    points: tuple[WindowPoint, ...]
    recovered: float | None

    @cached_property
    def recovered_under_fault(self) -> bool:
        """Whether the p95 came back while a fault was still on: what a playbook has to show."""
        return self.recovered is not None and any(
            span.start < self.recovered < span.to for span in self.faults
        )

    @cached_property
    def any_failed(self) -> bool:
        return any(not sample.ok for sample in self.samples)


@dataclass(frozen=True)
class Scenario:
    """A case with its arms side by side; ``limit`` is the latency objective in seconds."""

    case: Case
    arms: tuple[Arm, ...]
    limit: float | None
    width: float
    files: tuple[SampleFile, ...]

    @property
    def start(self) -> float:
        return min(arm.start for arm in self.arms)

    @property
    def end(self) -> float:
        return max(arm.end for arm in self.arms)


def build(run: Run, case: Case, files: list[SampleFile]) -> Scenario | None:
    """Return the scenario of ``case``, or ``None`` if it entered no phase."""
    if not case.phases:
        return None
    names = sorted(
        {phase.arm for _, phase in case.phases}, key=lambda name: (_ORDER.get(name, 2), name)
    )
    limits = [file.said.limit for file in files if file.said.limit is not None]
    limit = limits[0] if limits else None
    samples = [sample for file in files for sample in file.samples]
    bounds = {name: _bounds(case, name) for name in names}
    width = window_seconds(max(end - start for start, end in bounds.values()))
    arms = tuple(_arm(run, case, name, bounds, samples, limit, width) for name in names)
    return Scenario(case, arms, limit, width, tuple(files))


def _bounds(case: Case, name: str) -> tuple[float, float]:
    """Return when an arm began and ended, UTC: the heal of its fault is still part of it."""
    times = [t for t, phase in case.phases if phase.arm == name]
    start, end = min(times), max(times)
    later = [t for t, phase in case.phases if phase.arm != name and t > start]
    ceiling = min((t for t in later if t >= end), default=float("inf"))
    heals = [f.healed_at for f in case.faults if f.arm == name and f.healed_at is not None]
    end = max([end, *(t for t in heals if t <= ceiling)])
    return start, max(end, start + 1)


def _arm(
    run: Run,
    case: Case,
    name: str,
    bounds: dict[str, tuple[float, float]],
    all_samples: list[Sample],
    limit: float | None,
    width: float,
) -> Arm:
    start, end = bounds[name]

    def mine(arm: str, at: float) -> bool:
        """An event without an arm belongs to the one it happened in."""
        return arm == name if arm else start <= at <= end

    samples = sorted((s for s in all_samples if mine(s.arm, s.t)), key=lambda s: s.t)
    if samples:
        start, end = min(start, samples[0].t), max(end, samples[-1].t)
    faults = [f for f in case.faults if mine(f.arm, f.injected_at)]
    phases = [(t, p) for t, p in case.phases if p.arm == name]
    zero, zero_is = _zero(start, faults, phases)
    alerts = [
        Moment(a.at - zero, f"{a.alert} {a.state}", "alert", state=a.state)
        for a in run.alerts
        if a.case == case.id and mine(a.arm, a.at)
    ]
    steps = _steps(run, case, zero, mine)
    points = slide(samples, width)
    # Without a limit in seconds it is failures alone that an arm recovers from.
    back = back_under(points, math.inf if limit is None else limit, zero)
    recovered = None if back is None else back - zero
    spans = _phase_spans(phases, zero, end)
    moments = [Moment(s.start, _phase_words(s), "phase") for s in spans]
    moments += _fault_moments(faults, zero) + alerts + steps
    if recovered is not None:
        moments.append(
            Moment(
                recovered,
                "Fewer than one request in twenty fails, to the end"
                if limit is None
                else "Sliding p95 is back at its objective to the end",
                "recovered",
            )
        )
    return Arm(
        name,
        zero,
        zero_is,
        start - zero,
        end - zero,
        tuple(spans),
        tuple(Span(f.injected_at - zero, (f.healed_at or end) - zero, str(f)) for f in faults),
        tuple(sorted(alerts, key=lambda a: a.at)),
        tuple(steps),
        tuple(sorted(moments, key=lambda m: m.at)),
        tuple(Sample(s.t - zero, s.seconds, s.ok, s.arm, s.key) for s in samples),
        tuple(WindowPoint(p.t - zero, p.p95, p.failed, p.n) for p in points),
        recovered,
    )


def _zero(
    start: float, faults: list[Fault], phases: list[tuple[float, events.ScenarioPhase]]
) -> tuple[float, str]:
    if faults:
        return min(fault.injected_at for fault in faults), "the fault was switched on"
    told = [t for t, phase in phases if phase.phase == "fault"]
    return (told[0], "the fault phase began") if told else (start, "the arm began")


def _phase_spans(
    phases: list[tuple[float, events.ScenarioPhase]], zero: float, end: float
) -> list[Span]:
    ends = [t for t, _ in phases[1:]] + [end]
    return [
        Span(t - zero, to - zero, phase.phase, phase.note)
        for (t, phase), to in zip(phases, ends, strict=True)
    ]


def _phase_words(span: Span) -> str:
    return f"Phase {span.what}" + (f": {span.kind}" if span.kind else "")


def _fault_moments(faults: list[Fault], zero: float) -> list[Moment]:
    found = []
    for fault in faults:
        found.append(Moment(fault.injected_at - zero, f"Fault on: {fault}", "fault"))
        if fault.landed_at is not None:
            words = "Fault proven to have landed" if fault.landed else "Fault has not landed"
            words += f": {fault}" if len(faults) > 1 else ""
            found.append(Moment(fault.landed_at - zero, words, "fault", fault.landed))
        if fault.healed_at is not None:
            words = "Fault undone" if fault.healed else "Fault could not be undone"
            words += f": {fault}" if len(faults) > 1 else ""
            found.append(Moment(fault.healed_at - zero, words, "fault", fault.healed))
    return found


def _steps(run: Run, case: Case, zero: float, mine: object) -> list[Moment]:
    assert callable(mine)
    numbers: dict[tuple[str, str], int] = {}
    found = []
    words = {
        "condition": ("its condition holds", "its condition does not hold"),
        "action": ("its action ran", "its action did not run"),
        "effect": ("its effect came", "its effect did not come"),
        "undo": ("taken back", "could not be taken back"),
    }
    for t, step in run.steps:
        if step.case != case.id or not mine(step.arm, t):
            continue
        index = numbers.setdefault((step.playbook, step.step), len(numbers) + 1)
        good, bad = words.get(step.stage, (f"{step.stage} done", f"{step.stage} not done"))
        what = f"Step {index}, {step.playbook}/{step.step}: {good if step.ok else bad}"
        found.append(Moment(t - zero, what, "step", step.ok, index, step.stage))
    return found
