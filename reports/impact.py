"""Counts what an incident cost: requests failed and slow, tenants, time, error budget."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.events import ONLOOKER, ObjectiveKnown
from reports.model import Run
from reports.sampling import Sample
from reports.scenario import Arm


@dataclass(frozen=True)
class Budget:
    """What one objective lost. ``bad`` requests where a share ``allowed`` may be bad; ``rate`` is
    how many times faster than sustainable the budget went; ``share`` is the part of the whole
    budget of ``window_days`` that is gone, at the rate of requests that was seen."""

    objective: str
    bad: int
    allowed: float
    rate: float
    share: float
    window_days: float


@dataclass(frozen=True)
class Impact:
    """What users had of an incident, from the fault to recovery (``until`` says which end it is).
    ``limit`` is the latency objective in seconds, or ``None``."""

    seconds: float
    until: str
    asked: int
    failed: int
    slow: int
    limit: float | None
    tenants: tuple[str, ...]
    budgets: tuple[Budget, ...]


def impact_of(run: Run, arm: Arm, limit: float | None) -> Impact:
    """Count the samples of an arm from zero (the fault) to the end of the incident.

    ``limit`` is the objective that the samples are held against, in seconds.
    """
    end, until = _end(arm, limit)
    inside = [s for s in arm.samples if 0 <= s.t <= end and s.key != ONLOOKER]
    slow = [s for s in inside if limit is not None and s.ok and s.seconds > limit]
    hurt = {_tenant(s) for s in inside if not s.ok} | {_tenant(s) for s in slow}
    return Impact(
        end,
        until,
        len(inside),
        sum(not sample.ok for sample in inside),
        len(slow),
        limit,
        tuple(sorted(tenant for tenant in hurt if tenant)),
        tuple(_spent(o, inside, end) for o in run.objectives) if inside else (),
    )


def _end(arm: Arm, limit: float | None) -> tuple[float, str]:
    """Return when the incident was over, and which moment that is.

    A failure after the objective was met again still belongs to it.
    """
    after = [sample for sample in arm.samples if sample.t >= 0]
    failed = max((sample.t for sample in after if not sample.ok), default=0.0)
    if arm.recovered is not None and arm.recovered >= failed:
        return arm.recovered, "from the fault until the objective was met again"
    slow = 0.0
    if arm.recovered is None and limit is not None:
        slow = max((sample.t for sample in after if sample.seconds > limit), default=0.0)
    healed = max((span.to for span in arm.faults if span.to < arm.end), default=0.0)
    last = max(failed, slow)
    if last > healed:
        bad = "failed or was slow" if slow > failed else "failed"
        return last, f"from the fault until the last request that {bad}"
    if healed:
        return healed, "from the fault until it was undone"
    return arm.end, "from the fault until the record ends"


def _tenant(sample: Sample) -> str:
    return sample.key.partition("/")[0]


def _spent(objective: ObjectiveKnown, inside: list[Sample], seconds: float) -> Budget:
    limit = objective.threshold_s
    bad = sum(not s.ok or (limit is not None and s.seconds > limit) for s in inside)
    allowed = 1 - objective.target
    rate = bad / len(inside) / allowed
    share = rate * seconds / objective.window_s
    return Budget(objective.name, bad, allowed, rate, share, objective.window_s / 86_400)
