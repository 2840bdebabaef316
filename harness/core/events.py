"""The kinds of event in a run's history: the schema of ``run.jsonl``, version 1.

Each dataclass is one kind. Its fields are written as JSON beside the envelope (``v`` schema
version, ``t`` UTC seconds as a float, ``worker``, ``kind``). Times inside a record are UTC seconds
too, durations are seconds, latencies are seconds. A field may be added within a version; none is
renamed, removed or given another meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

SCHEMA_VERSION = 1


class Event:
    """Base of all kinds; ``KIND`` is the value of the field ``kind``."""

    KIND: ClassVar[str]


@dataclass(frozen=True)
class RunStart(Event):
    """First line of a run. ``host`` holds cpus, memory_bytes, kernel, python; ``git`` commit and
    dirty; ``argv`` is the command as typed, ``seed`` seeds everything random."""

    KIND: ClassVar[str] = "run.start"
    run_id: str
    profile: str
    driver: str
    target: str
    argv: list[str]
    seed: int
    time_scale: float
    version: str
    host: dict[str, Any] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RequirementKnown(Event):
    """A requirement of the guide, so that a report can tell what was not shown.

    ``waiver`` is ``None`` or ``{"reason": str, "until": "YYYY-MM-DD", "kind": str}``."""

    KIND: ClassVar[str] = "requirement"
    slug: str
    level: str
    section: str
    sentence: str
    waiver: dict[str, str] | None = None


@dataclass(frozen=True)
class ObjectiveKnown(Event):
    """A service-level objective, so that a report can tell what of its budget was spent.

    ``target`` is the share of good events that is asked for, ``threshold_s`` the latency up to
    which an event is good (``None``: goodness is no matter of time), ``window_s`` the time over
    which the budget is counted."""

    KIND: ClassVar[str] = "objective"
    name: str
    requirement: str
    target: float
    threshold_s: float | None
    window_s: float


@dataclass(frozen=True)
class ComponentSeen(Event):
    """A part of the target with its software and version as the running part itself says."""

    KIND: ClassVar[str] = "component"
    role: str
    software: str
    version: str
    stand_in: bool
    note: str = ""


@dataclass(frozen=True)
class StackReady(Event):
    """The target answers; ``breakdown`` is role → seconds until ready."""

    KIND: ClassVar[str] = "stack.ready"
    seconds: float
    breakdown: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StackGone(Event):
    """The target was taken down by its owner; ``left`` names what could not be removed."""

    KIND: ClassVar[str] = "stack.gone"
    seconds: float
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Note(Event):
    """A remark for the reader of the report, for instance something that could not be had."""

    KIND: ClassVar[str] = "note"
    level: str  # "info" | "warning"
    text: str


@dataclass(frozen=True)
class RunSelected(Event):
    """The ids of the cases that this run set out to run; each must come to a verdict."""

    KIND: ClassVar[str] = "run.selected"
    cases: list[str]


@dataclass(frozen=True)
class CaseStart(Event):
    """A case begins. ``case`` is its id ``<slug>::<name>``, ``title`` its MUST sentence."""

    KIND: ClassVar[str] = "case.start"
    case: str
    slug: str
    title: str
    nodeid: str
    needs: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Observation(Event):
    """One thing that a case looked at. ``verdict`` is pass, fail, inconclusive or error."""

    KIND: ClassVar[str] = "case.observation"
    case: str
    what: str
    verdict: str
    expected: Any = None
    actual: Any = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure(Event):
    """A number with its unit. ``interval`` is [low, high] at ``level``; ``limit`` is what it is
    held against on ``side`` ("max": must not exceed, "min": must reach)."""

    KIND: ClassVar[str] = "case.measure"
    case: str
    name: str
    value: float
    unit: str
    n: int | None = None
    interval: list[float] | None = None
    level: float | None = None
    limit: float | None = None
    side: str = "max"
    method: str = ""


ONLOOKER = "onlooker"
"""The ``key`` of samples that are looks from outside and no customer's requests: they are drawn,
and never counted among what customers asked."""


@dataclass(frozen=True)
class Samples(Event):
    """Raw samples of a case, kept in ``file`` (relative to the run directory), one JSON object a
    line: ``{"t": UTC seconds of the intended start, "seconds": latency, "status": int, "ok": bool,
    "error": str|null, "arm": str, "key": str}``; ``key`` says whose request it was
    (``tenant/persona``), where that is known."""

    KIND: ClassVar[str] = "case.samples"
    case: str
    name: str
    unit: str
    file: str
    n: int
    limit: float | None = None
    arm: str = ""


@dataclass(frozen=True)
class DashboardPreview(Event):
    """What a dashboard's panels showed on the live target, kept in ``file`` (relative to the run
    directory), one JSON object a panel: ``title``, ``kind``, ``unit``, ``description``, ``limits``
    (numbers), ``texts`` (what is shown for a value) and ``series``, a list of ``{"name": str,
    "points": [[UTC seconds, value or null]]}``."""

    KIND: ClassVar[str] = "case.dashboard"
    case: str
    uid: str
    title: str
    file: str
    panels: int


@dataclass(frozen=True)
class FaultInjected(Event):
    """A fault was switched on; ``proof`` is filled by a later ``fault.landed``."""

    KIND: ClassVar[str] = "fault.injected"
    fault_id: str
    fault: str
    on: str
    arguments: dict[str, Any]
    case: str = ""
    arm: str = ""


@dataclass(frozen=True)
class FaultLanded(Event):
    """Independent proof, taken on the data path, that the fault has its effect (or has not)."""

    KIND: ClassVar[str] = "fault.landed"
    fault_id: str
    landed: bool
    proof: dict[str, Any]
    case: str = ""
    arm: str = ""


@dataclass(frozen=True)
class FaultHealed(Event):
    """The fault was undone; ``proof`` shows that its effect is gone."""

    KIND: ClassVar[str] = "fault.healed"
    fault_id: str
    healed: bool
    proof: dict[str, Any]
    case: str = ""
    arm: str = ""


@dataclass(frozen=True)
class ScenarioPhase(Event):
    """A scenario enters a phase in one arm.

    ``arm`` is treated or control; ``phase`` is steady, fault, alert, playbook, recovery, hold,
    heal or end."""

    KIND: ClassVar[str] = "scenario.phase"
    case: str
    arm: str
    phase: str
    note: str = ""


@dataclass(frozen=True)
class AlertSeen(Event):
    """An alert changed state: inactive, pending, firing, delivered or resolved; ``at`` is when."""

    KIND: ClassVar[str] = "alert"
    alert: str
    state: str
    at: float
    case: str = ""
    arm: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlaybookStep(Event):
    """A step of a playbook. ``stage`` is condition, action or effect; ``ok`` is whether the
    condition held, the action ran, the effect came."""

    KIND: ClassVar[str] = "playbook.step"
    playbook: str
    step: str
    stage: str
    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)
    case: str = ""
    arm: str = ""


@dataclass(frozen=True)
class DrillBegan(Event):
    """A disaster-recovery drill begins. ``operator`` is who runs it; ``plan`` lists its steps in
    order as ``{"step", "title", "limit", "source"}``: seconds allowed (or null) and who says so.
    ``resumed_from`` names the interrupted run whose finished steps are not done again."""

    KIND: ClassVar[str] = "drill.began"
    case: str
    operator: str
    plan: list[dict[str, Any]]
    resumed_from: str = ""


@dataclass(frozen=True)
class DrillStep(Event):
    """A step of a drill changes its state: began, done, failed or carried (done in the run that
    this one resumes). ``seconds`` is what it took, ``detail`` what it found."""

    KIND: ClassVar[str] = "drill.step"
    case: str
    step: str
    state: str
    seconds: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DrillBackup(Event):
    """The backup that a drill restores. ``origin`` is taken (by the drill) or fetched; ``objects``
    are ``{"name", "sha256", "bytes", "verified"}``; ``versions`` is part -> version at backup."""

    KIND: ClassVar[str] = "drill.backup"
    case: str
    bucket: str
    name: str
    origin: str
    began: str = ""
    ended: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class CaseVerdict(Event):
    """A case ended. ``message`` says why in full for anything but a pass; ``rerun`` is a command;
    ``active_faults`` are those still on when the verdict fell."""

    KIND: ClassVar[str] = "case.verdict"
    case: str
    slug: str
    verdict: str
    seconds: float
    message: str = ""
    rerun: str = ""
    active_faults: list[str] = field(default_factory=list)
    expected: Any = None
    actual: Any = None


@dataclass(frozen=True)
class RunVerdict(Event):
    """Last line of a run that came to its end; ``counts`` is verdict → number of cases."""

    KIND: ClassVar[str] = "run.verdict"
    verdict: str
    counts: dict[str, int]
    exit_code: int
    seconds: float
    accept_skips: bool = False


KINDS: dict[str, type[Event]] = {
    kind.KIND: kind
    for kind in (
        RunStart,
        RequirementKnown,
        ObjectiveKnown,
        ComponentSeen,
        StackReady,
        StackGone,
        Note,
        RunSelected,
        CaseStart,
        Observation,
        Measure,
        Samples,
        DashboardPreview,
        FaultInjected,
        FaultLanded,
        FaultHealed,
        ScenarioPhase,
        AlertSeen,
        PlaybookStep,
        DrillBegan,
        DrillStep,
        DrillBackup,
        CaseVerdict,
        RunVerdict,
    )
}
