"""Verdicts on shares of a whole by exact Clopper-Pearson intervals."""

from __future__ import annotations

import math

from scipy.special import betaincinv, ndtri

from harness.checks.result import CheckResult, Interval, Side, check_level, check_side, judge
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict


def share_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return the Clopper-Pearson interval of a share (1934, Biometrika 26), exact for any ``n``.

    Of no trials at all it is [0, 1]. Raises :class:`HarnessError` unless ``0 <= successes <= n``.
    """
    check_level(level)
    if n < 0 or not 0 <= successes <= n:
        raise HarnessError(
            "a share needs a count out of a total",
            expected="0 <= successes <= n",
            actual=f"{successes} of {n}",
        )
    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    estimate = successes / n if n else math.nan
    return Interval(low, high, level, estimate, "Clopper-Pearson", n)


def trials_for_clean_share(limit: float, level: float = 0.95) -> int:
    """Return how many trials without one hit show that a share is at most ``limit``."""
    if not 0 < limit < 1:
        raise HarnessError(
            "no number of trials shows a share of exactly nothing",
            expected="0 < limit < 1",
            actual=limit,
            next_step="where none may happen, require a count of zero instead of a share",
        )
    return math.ceil(math.log((1 - level) / 2) / math.log1p(-limit))


def share_verdict(
    successes: int,
    n: int,
    limit: float,
    side: Side,
    level: float = 0.95,
    *,
    what: str = "share",
) -> CheckResult:
    """Judge a share of independent trials against ``limit``.

    ``side`` is ``"max"`` (for instance server errors among requests) or ``"min"`` (for instance
    answered among asked). A target beyond the limit passes with probability at most
    ``(1 - level) / 2``. A ``max`` limit of 0 can fail but never pass.
    """
    check_side(side)
    if not 0 <= limit <= 1:
        raise HarnessError(
            "the limit of a share is a share", expected="0 <= limit <= 1", actual=limit
        )
    interval = share_interval(successes, n, level)
    verdict = judge(interval, limit, side)
    sign = "<=" if side == "max" else ">="
    details: dict[str, object] = {"successes": successes, "n": n}
    if verdict is Verdict.INCONCLUSIVE:
        rare = limit if side == "max" else 1 - limit
        if 0 < rare < 1:
            details["needed_if_clean"] = trials_for_clean_share(rare, level)
        details["reason"] = "the interval lies across the limit" if n else "no samples"
    return CheckResult(
        verdict,
        what,
        f"{what} {sign} {limit:g} at {100 * level:g} % confidence",
        f"{successes} of {n} [{interval.low:.4g}, {interval.high:.4g}]" if n else "no samples",
        interval,
        details,
    )


def trials_for_share(
    share: float, tolerance: float, level: float = 0.95, power: float = 0.95
) -> int:
    """Return about how many trials let an exact share pass :func:`binomial_share_verdict`.

    Normal approximation: the half-width plus the spread of the estimate must fit the tolerance.
    """
    check_level(level)
    reach = float(ndtri((1 + level) / 2)) + float(ndtri((1 + power) / 2))
    return math.ceil(share * (1 - share) * (reach / tolerance) ** 2)


def binomial_share_verdict(
    successes: int,
    n: int,
    share: float,
    level: float = 0.95,
    *,
    tolerance: float | None = None,
    what: str = "share",
) -> CheckResult:
    """Judge whether a share is the one that was asked for, as with a canary.

    "No significant difference" would let a handful of requests pass, so this asks the harder
    question: pass when the whole interval lies within ``share ± tolerance`` (default: 30 % of the
    share), fail when it lies wholly outside, else inconclusive. :func:`trials_for_share` says how
    many trials that takes.
    """
    if not 0 < share < 1:
        raise HarnessError("a share lies between 0 and 1", expected="0 < share < 1", actual=share)
    allowed = 0.3 * share if tolerance is None else tolerance
    if allowed <= 0:
        raise HarnessError(
            "no number of trials shows a share exactly", expected="tolerance > 0", actual=tolerance
        )
    interval = share_interval(successes, n, level)
    low, high = share - allowed, share + allowed
    if low <= interval.low and interval.high <= high:
        verdict = Verdict.PASS
    elif interval.high < low or interval.low > high:
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.INCONCLUSIVE
    details: dict[str, object] = {"successes": successes, "n": n, "tolerance": allowed}
    if verdict is Verdict.INCONCLUSIVE:
        details["needed"] = trials_for_share(share, allowed, level)
        details["reason"] = "the interval lies across an edge" if n else "no samples"
    return CheckResult(
        verdict,
        what,
        f"{what} within [{low:.4g}, {high:.4g}] at {100 * level:g} % confidence",
        f"{successes} of {n} [{interval.low:.4g}, {interval.high:.4g}]" if n else "no samples",
        interval,
        details,
    )
