"""What a check returns: a verdict with what was expected, what was seen and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

Side = Literal["max", "min"]
"""``max``: the quantity must not exceed its limit. ``min``: it must reach it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval ``[low, high]`` for ``estimate`` from ``n`` samples.

    ``level`` is the two-sided confidence (0.95 = 95 %), so each end alone errs in at most
    ``(1 - level) / 2`` of the cases. An end that the samples cannot bound is infinite.
    """

    low: float
    high: float
    level: float
    estimate: float
    method: str
    n: int

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object; an infinite or undefined number becomes ``null``."""
        return {
            "low": json_number(self.low),
            "high": json_number(self.high),
            "level": self.level,
            "estimate": json_number(self.estimate),
            "method": self.method,
            "n": self.n,
        }


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check. ``details`` holds only values that JSON can carry."""

    verdict: Verdict
    what: str
    expected: Any = None
    actual: Any = None
    interval: Interval | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True for a pass and for nothing else."""
        return self.verdict is Verdict.PASS

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "verdict": self.verdict.value,
            "what": self.what,
            "expected": json_value(self.expected),
            "actual": json_value(self.actual),
            "interval": None if self.interval is None else self.interval.as_json(),
            "details": json_value(self.details),
        }


def json_number(value: float) -> float | None:
    """Return ``value``, or ``None`` where JSON has no such number (infinite, NaN)."""
    return float(value) if math.isfinite(value) else None


def json_value(value: Any) -> Any:
    """Return ``value`` with every float that JSON cannot carry replaced by ``None``."""
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value


def check_level(level: float) -> float:
    """Return ``level`` if it is a confidence strictly between 0.5 and 1, else raise."""
    if not 0.5 < level < 1:
        raise HarnessError(
            "a confidence level is a share, not a percentage",
            expected="a number between 0.5 and 1, for instance 0.95",
            actual=level,
        )
    return level


def check_side(side: str) -> None:
    """Raise unless ``side`` is ``max`` or ``min``."""
    if side not in ("max", "min"):
        raise HarnessError(
            "a limit has a side",
            expected="'max' (must not exceed it) or 'min' (must reach it)",
            actual=side,
        )


def judge(interval: Interval, limit: float, side: Side) -> Verdict:
    """Hold an interval against a limit: clear of it, beyond it, or across it (inconclusive)."""
    check_side(side)
    if math.isnan(limit):
        raise HarnessError("a limit of NaN decides nothing", expected="a number", actual=limit)
    if math.isnan(interval.low) or math.isnan(interval.high):
        return Verdict.INCONCLUSIVE
    if side == "max":
        if interval.high <= limit:
            return Verdict.PASS
        return Verdict.FAIL if interval.low > limit else Verdict.INCONCLUSIVE
    if interval.low >= limit:
        return Verdict.PASS
    return Verdict.FAIL if interval.high < limit else Verdict.INCONCLUSIVE
