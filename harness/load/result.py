"""What a load run gave, and whether it may count at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.load.plan import LoadPlan
from harness.load.samples import DROPPED, LoadSamples


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A finished load run.

    ``void_reason`` is ``None`` or says why the run shows nothing: then no verdict but an error may
    rest on it (``harness.checks.service`` sees to that). ``marks`` are (label, seconds since the
    start). ``began_utc`` is UTC seconds, ``scheduled`` the number of arrivals that were due when
    the run ended.
    """

    plan: LoadPlan
    samples: LoadSamples
    directory: Path
    began_utc: float
    seconds: float
    scheduled: int
    dropped: int
    lateness_p99_s: float
    void_reason: str | None
    stopped_early: bool = False
    marks: list[tuple[str, float]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return the number of samples by status or error."""
        return self.samples.counts()

    def summary(self) -> dict[str, Any]:
        """Return the run in a few JSON values, for a report."""
        return {
            "rate": self.plan.rate,
            "seconds": round(self.seconds, 3),
            "scheduled": self.scheduled,
            "dropped": self.dropped,
            "counts": self.counts(),
            "lateness_p99_s": round(self.lateness_p99_s, 6),
            "void_reason": self.void_reason,
            "stopped_early": self.stopped_early,
            "fresh_connections": self.plan.fresh_connections,
            "arrivals": self.plan.arrivals,
            "seed": self.plan.seed,
        }


def void_reason(
    plan: LoadPlan, samples: LoadSamples, scheduled: int, ended: str | None
) -> str | None:
    """Say why a run shows nothing, or return ``None``.

    ``ended`` says how the generator ended where it did not end well.
    """
    if ended is not None:
        return ended
    if not len(samples):
        return "no samples: no arrival was due before the run ended"
    dropped = samples.error.count(DROPPED)
    if dropped:
        return (
            f"{dropped} of {scheduled} arrivals were dropped, because {plan.max_in_flight} "
            "requests were open already"
        )
    if len(samples) != scheduled or len(set(samples.number.tolist())) != scheduled:
        return f"{scheduled} arrivals were due, and {len(samples)} samples were written"
    lateness = lateness_p99(samples)
    if lateness > plan.max_lateness_s:
        return (
            f"the generator was late: 99 % of its starts came within {lateness:.4f} s of their "
            f"time, and {plan.max_lateness_s:g} s is allowed"
        )
    return None


def lateness_p99(samples: LoadSamples) -> float:
    """Return the 99th percentile of the generator's lateness in seconds (0 if nothing was sent)."""
    lateness = samples.lateness
    return float(np.quantile(lateness, 0.99, method="higher")) if len(lateness) else 0.0
