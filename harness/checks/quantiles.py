"""Verdicts on percentiles by distribution-free order-statistic intervals over arrival blocks."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc, ndtri, stdtrit

from harness.checks.result import CheckResult, Interval, check_level, judge
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

DEFAULT_BLOCKS = 10
"""Few blocks are long blocks, and long blocks see slow correlation. Schmeiser (1982, "Batch size
effects in the analysis of simulation output", Operations Research 30) finds nothing gained beyond
10 to 30; in simulation 10 kept the false-pass rate under its nominal 2.5 % for first-order
autocorrelation up to 0.97, 20 and 30 did not."""


def as_samples(samples: ArrayLike) -> NDArray[np.float64]:
    """Return samples as a flat float array. Raises :class:`HarnessError` for NaN or minus infinity.

    Plus infinity is allowed and stands for "never answered".
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1:
        raise HarnessError(
            "samples are a flat list of numbers", expected="one dimension", actual=values.shape
        )
    refused = np.isnan(values) | np.isneginf(values)
    if refused.any():
        first = int(np.flatnonzero(refused)[0])
        raise HarnessError(
            "samples hold something that is not a measurement",
            expected="numbers, or +inf for a request that was never answered",
            actual=f"{values[first]} at index {first} ({int(refused.sum())} in all)",
            next_step="leave out what was not measured, or count it as +inf",
        )
    return values


@lru_cache(maxsize=4096)
def order_ranks(n: int, p: float, level: float) -> tuple[int, int]:
    """Return 1-based ranks ``(l, u)`` whose order statistics enclose the p-quantile.

    For ``n`` independent samples the number at or below the quantile is Binomial(n, p), so
    ``P(l <= Binomial(n, p) < u) >= level`` with at most ``(1 - level) / 2`` on either side.
    ``l == 0`` or ``u == n + 1`` means that ``n`` samples cannot bound that side.
    Source: David and Nagaraja, *Order Statistics*, section 7.1.
    """
    tail = (1 - level) / 2
    # bdtr(k) = P(Binomial <= k) and bdtrc(k) = P(Binomial > k) are monotone in k: bisection.
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        if float(bdtr(middle - 1, n, p)) <= tail:
            low = middle
        else:
            high = middle - 1
    lower = low
    low, high = 1, n + 1
    while low < high:
        middle = (low + high) // 2
        if float(bdtrc(middle - 1, n, p)) <= tail:
            high = middle
        else:
            low = middle + 1
    return lower, low


def samples_for_upper_bound(p: float, level: float = 0.95) -> int:
    """Return how many independent samples it takes to bound the p-quantile from above at all."""
    return math.ceil(math.log((1 - level) / 2) / math.log(p))


def lag1_autocorrelation(samples: ArrayLike) -> float:
    """Return the lag-1 autocorrelation of the ranks of samples in arrival order (0 if undefined).

    Ranks, because latencies are heavy-tailed and may be infinite.
    """
    values = as_samples(samples)
    if len(values) < 3:
        return 0.0
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    centred = ranks - ranks.mean()
    variance = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / variance if variance > 0 else 0.0


def variance_inflation(exceeded: NDArray[np.bool_], blocks: int, level: float = 0.95) -> float:
    """Return by how much correlation inflates the variance of a share (1 = independent).

    ``exceeded`` is a yes/no series in arrival order, cut into ``blocks`` contiguous windows. With
    independent samples the variance of the window shares is p(1-p)/window; the ratio of the two is
    the inflation (the batch-means method of Heidelberger and Lewis, 1984, "Quantile estimation in
    dependent sequences", Operations Research 32). The ratio is itself uncertain, so it is raised
    by (t/z)², Student's correction for ``blocks - 1`` degrees of freedom, and it never narrows an
    interval: the result is at least 1.
    """
    blocks = min(blocks, len(exceeded) // 2)
    share = float(exceeded.mean()) if len(exceeded) else 0.0
    if blocks < 2 or share in (0.0, 1.0):
        return 1.0
    window = len(exceeded) // blocks
    shares = exceeded[-blocks * window :].reshape(blocks, window).mean(axis=1)
    ratio = window * float(shares.var(ddof=1)) / (share * (1 - share))
    tail = (1 + level) / 2
    correction = float(stdtrit(blocks - 1, tail) / ndtri(tail)) ** 2
    return max(1.0, ratio * correction)


def percentile_interval(
    samples: ArrayLike, p: float, level: float = 0.95, *, blocks: int = DEFAULT_BLOCKS
) -> tuple[Interval, dict[str, float | int | list[int] | None]]:
    """Return the interval of the p-quantile (``0 < p < 1``) and how it came about.

    ``samples`` stand in arrival order. Correlated samples carry less than they number: the
    effective number is ``n / inflation`` (see :func:`variance_inflation`), the exact ranks are
    taken for that number and stretched to the sample. ``blocks=1`` says that the samples are
    independent. Raises :class:`HarnessError` for a bad ``p``, ``level``, ``blocks`` or sample.
    """
    check_level(level)
    if not 0 < p < 1:
        raise HarnessError(
            "a percentile is given as a share", expected="0 < p < 1, for instance 0.95", actual=p
        )
    if blocks < 1:
        raise HarnessError("samples are cut into blocks", expected="blocks >= 1", actual=blocks)
    values = as_samples(samples)
    n = len(values)
    method = "order statistics" if blocks == 1 else f"order statistics over {blocks} blocks"
    needed = samples_for_upper_bound(p, level)
    if n == 0:
        nothing = Interval(-math.inf, math.inf, level, math.nan, method, 0)
        return nothing, {"n": 0, "needed": needed}
    ordered = np.sort(values)
    estimate = float(ordered[math.ceil(p * n) - 1])
    exceeded = values > estimate
    if not exceeded.any():
        # The quantile is the largest value of all (ties, or unanswered requests at infinity).
        exceeded = values >= estimate
    inflation = variance_inflation(exceeded, blocks, level) if blocks > 1 else 1.0
    effective = max(1, math.floor(n / inflation))
    lower, upper = order_ranks(effective, p, level)
    lower_rank = math.floor(lower * n / effective)
    upper_rank = math.ceil(upper * n / effective) if upper <= effective else n + 1
    interval = Interval(
        low=float(ordered[lower_rank - 1]) if lower_rank >= 1 else -math.inf,
        high=float(ordered[upper_rank - 1]) if upper_rank <= n else math.inf,
        level=level,
        estimate=estimate,
        method=method,
        n=n,
    )
    return interval, {
        "n": n,
        "n_effective": effective,
        "variance_inflation": round(inflation, 3),
        "lag1_autocorrelation": round(lag1_autocorrelation(values), 3),
        "blocks": blocks,
        "ranks": [lower_rank, upper_rank],
        "needed": math.ceil(needed * inflation) if upper > effective else None,
        "unanswered": int(np.isinf(values).sum()),
    }


def percentile_verdict(
    samples: ArrayLike,
    p: float,
    limit: float,
    level: float = 0.95,
    *,
    blocks: int = DEFAULT_BLOCKS,
    unit: str = "s",
    what: str | None = None,
) -> CheckResult:
    """Judge whether the p-quantile of samples in arrival order is at most ``limit``.

    Pass when the whole interval lies at or below the limit, fail when it lies above, else
    inconclusive. A target whose quantile is beyond the limit passes with probability at most
    ``(1 - level) / 2``. No samples, and too few to have an upper bound, are inconclusive and say
    how many it takes.
    """
    interval, found = percentile_interval(samples, p, level, blocks=blocks)
    details: dict[str, object] = dict(found)
    name = what or f"p{100 * p:g}"
    expected = f"{name} <= {limit:g} {unit} at {100 * level:g} % confidence"
    verdict = judge(interval, limit, "max") if interval.n else Verdict.INCONCLUSIVE
    actual = (
        f"{interval.estimate:g} {unit} [{interval.low:g}, {interval.high:g}], n {interval.n}"
        if interval.n
        else "no samples"
    )
    if verdict is Verdict.INCONCLUSIVE:
        if not interval.n:
            reason = "no samples"
        elif found["needed"] is not None:
            reason = (
                f"too few samples for an upper bound: {found['n_effective']} effective of "
                f"{interval.n}, about {found['needed']} needed"
            )
        else:
            reason = "the interval lies across the limit"
        details["reason"] = reason
    return CheckResult(verdict, name, expected, actual, interval, details)
