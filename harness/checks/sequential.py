"""Sampling in rounds until a verdict falls, without repeated looks raising the error rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.checks.quantiles import as_samples
from harness.checks.result import CheckResult, check_level
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

Judge = Callable[[NDArray[np.float64], float], CheckResult]
"""From all samples so far and the confidence level of this look to a result."""


def look_levels(rounds: int, level: float = 0.95) -> list[float]:
    """Return the confidence level of each look so that all together err as one look would.

    Every look spends part of the error allowance ``1 - level``: the last one half of it, the
    earlier ones share the other half evenly. By the union bound the chance that any look errs is
    at most the sum, whatever the dependence between looks. (One round spends all of it.)
    """
    check_level(level)
    if rounds < 1:
        raise HarnessError("sampling takes at least one round", expected=">= 1", actual=rounds)
    allowance = 1 - level
    if rounds == 1:
        return [level]
    return [1 - allowance / 2 / (rounds - 1)] * (rounds - 1) + [1 - allowance / 2]


def sequential(
    draw: Callable[[int], ArrayLike],
    decide: Judge,
    *,
    rounds: int,
    level: float = 0.95,
    budget_s: float | None = None,
) -> CheckResult:
    """Sample in rounds until ``decide`` says pass or fail, or the budget is spent.

    ``draw(i)`` returns the new samples of round ``i`` (from 0); ``decide`` sees all samples so
    far, in order, and the level of this look. An error ends the sampling at once. No further round
    begins once ``budget_s`` seconds have gone. The result carries ``details["looks"]``, one entry
    a look. Errors of ``draw`` and ``decide`` pass through.
    """
    levels = look_levels(rounds, level)
    began = time.monotonic()
    parts: list[NDArray[np.float64]] = []
    looks: list[dict[str, object]] = []
    result: CheckResult | None = None
    for round_number, look_level in enumerate(levels):
        parts.append(as_samples(draw(round_number)))
        seen = np.concatenate(parts)
        result = decide(seen, look_level)
        looks.append({"n": len(seen), "level": look_level, "verdict": result.verdict.value})
        if result.verdict in (Verdict.PASS, Verdict.FAIL, Verdict.ERROR):
            break
        if budget_s is not None and time.monotonic() - began >= budget_s:
            break
    assert result is not None
    details = {**result.details, "looks": looks, "overall_level": level}
    return replace(result, details=details)
