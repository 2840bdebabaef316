"""Verdicts on means of per-question scores and on paired differences."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from harness.checks.quantiles import as_samples
from harness.checks.result import CheckResult, Interval, Side, check_level, judge
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

SCORE = (0.0, 1.0)
"""Bounds of recall@k, MRR and nDCG."""

_BET_CAP = 0.75


def _wealth_bound(values: NDArray[np.float64], bets: NDArray[np.float64], target: float) -> float:
    """Return the largest mean that betting upwards refutes: a lower bound in [0, 1].

    The wealth of a gambler who bets that the mean is above ``mean`` falls as ``mean`` rises, so
    bisection finds where its running maximum drops below ``target``.
    """

    def refuted(mean: float) -> bool:
        stakes = np.minimum(bets, _BET_CAP / mean)
        return bool(np.cumsum(np.log1p(stakes * (values - mean))).max() >= math.log(target))

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if refuted(middle):
            low = middle
        else:
            high = middle
    return low


def betting_interval(
    samples: ArrayLike,
    level: float = 0.95,
    *,
    bounds: tuple[float, float] = SCORE,
    seed: int = 0,
) -> Interval:
    """Return a confidence interval of the mean of bounded, independent samples.

    Valid for every sample size and every distribution within ``bounds``, which bootstrap and t
    intervals are not: of ten perfect answers they make a certainty. Method: predictable plug-in
    betting, Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by
    betting", JRSS-B 86, section 4. The order of bets matters to it, so samples are shuffled by
    ``seed``. No samples give the bounds themselves.
    """
    check_level(level)
    low_bound, high_bound = bounds
    values = as_samples(samples)
    if not low_bound < high_bound:
        raise HarnessError("bounds are (low, high)", expected="low < high", actual=bounds)
    outside = (values < low_bound) | (values > high_bound)
    if outside.any():
        raise HarnessError(
            "a sample lies outside its bounds",
            expected=f"{low_bound:g} <= sample <= {high_bound:g}",
            actual=float(values[outside][0]),
        )
    n = len(values)
    width = high_bound - low_bound
    if n == 0:
        return Interval(low_bound, high_bound, level, math.nan, "betting", 0)
    scaled = np.random.default_rng(seed).permutation((values - low_bound) / width)
    counts = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(scaled)) / (counts + 1)
    variances = (0.25 + np.cumsum((scaled - means) ** 2)) / (counts + 1)
    before = np.concatenate(([0.25], variances[:-1]))
    target = 2 / (1 - level)
    bets = np.sqrt(2 * math.log(target) / (n * before))
    low = _wealth_bound(scaled, bets, target)
    high = 1 - _wealth_bound(1 - scaled, bets, target)
    return Interval(
        low_bound + width * low,
        low_bound + width * high,
        level,
        float(values.mean()),
        "betting",
        n,
    )


def bootstrap_interval(
    samples: ArrayLike, level: float = 0.95, *, seed: int = 0, resamples: int = 4000
) -> Interval:
    """Return a BCa bootstrap interval of the mean (Efron 1987, JASA 82), for unbounded samples.

    Asymptotic: use 30 samples or more. Where it is undefined (fewer than 2 samples, or no
    variation) both ends are infinite rather than equal.
    """
    check_level(level)
    values = as_samples(samples)
    n = len(values)
    estimate = float(values.mean()) if n else math.nan
    unknown = Interval(-math.inf, math.inf, level, estimate, "bootstrap BCa", n)
    if n < 2 or not np.isfinite(values).all() or float(np.ptp(values)) == 0.0:
        return unknown
    from scipy.stats import bootstrap  # scipy.stats takes most of a second to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = bootstrap(
            (values,),
            np.mean,
            confidence_level=level,
            n_resamples=resamples,
            method="BCa",
            rng=np.random.default_rng(seed),
            batch=max(1, 2_000_000 // n),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    if math.isnan(low) or math.isnan(high):
        return unknown
    return Interval(low, high, level, estimate, "bootstrap BCa", n)


def mean_interval(
    samples: ArrayLike,
    level: float = 0.95,
    *,
    bounds: tuple[float, float] | None = SCORE,
    seed: int = 0,
) -> Interval:
    """Return an interval of the mean: by betting within ``bounds``, else by BCa bootstrap."""
    if bounds is None:
        return bootstrap_interval(samples, level, seed=seed)
    return betting_interval(samples, level, bounds=bounds, seed=seed)


def mean_verdict(
    samples: ArrayLike,
    limit: float,
    side: Side = "min",
    level: float = 0.95,
    *,
    bounds: tuple[float, float] | None = SCORE,
    seed: int = 0,
    what: str = "mean",
) -> CheckResult:
    """Judge the mean of one score per question against a floor (``min``) or ceiling (``max``)."""
    interval = mean_interval(samples, level, bounds=bounds, seed=seed)
    return _result(interval, limit, side, what, {"seed": seed})


def paired_difference(
    before: ArrayLike,
    after: ArrayLike,
    level: float = 0.95,
    *,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
) -> Interval:
    """Return an interval of the mean of ``after - before``, both in the same order of questions.

    With ``bounds`` (those of a single score) the interval is by betting and valid for any sample
    size; without, it is Student's t on the differences, infinite where these do not vary or are
    fewer than 2. Raises :class:`HarnessError` for different lengths.
    """
    first, second = as_samples(before), as_samples(after)
    if len(first) != len(second):
        raise HarnessError(
            "a paired difference compares the same questions",
            expected=f"{len(first)} values, one for each before",
            actual=len(second),
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise HarnessError(
            "a mean of unanswered requests is undefined",
            expected="finite samples",
            actual="+inf",
            next_step="compare shares of answered requests, or percentiles",
        )
    differences = second - first
    if bounds is not None:
        span = bounds[1] - bounds[0]
        return betting_interval(differences, level, bounds=(-span, span), seed=seed)
    check_level(level)
    n = len(differences)
    estimate = float(differences.mean()) if n else math.nan
    if n < 2 or float(np.ptp(differences)) == 0.0:
        return Interval(-math.inf, math.inf, level, estimate, "paired t", n)
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * float(differences.std(ddof=1)) / math.sqrt(n)
    return Interval(estimate - reach, estimate + reach, level, estimate, "paired t", n)


def paired_verdict(
    before: ArrayLike,
    after: ArrayLike,
    limit: float,
    side: Side = "min",
    level: float = 0.95,
    *,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
    what: str = "difference",
) -> CheckResult:
    """Judge ``after - before``: with ``min`` and -0.02, "no worse by more than 0.02"."""
    interval = paired_difference(before, after, level, bounds=bounds, seed=seed)
    return _result(interval, limit, side, what, {"seed": seed})


def _result(
    interval: Interval, limit: float, side: Side, what: str, details: dict[str, object]
) -> CheckResult:
    verdict = judge(interval, limit, side) if interval.n else Verdict.INCONCLUSIVE
    sign = "<=" if side == "max" else ">="
    if verdict is Verdict.INCONCLUSIVE:
        details["reason"] = "the interval lies across the limit" if interval.n else "no samples"
    actual = (
        f"{interval.estimate:.4g} [{interval.low:.4g}, {interval.high:.4g}] from {interval.n}"
        if interval.n
        else "no samples"
    )
    return CheckResult(
        verdict,
        what,
        f"{what} {sign} {limit:g} at {100 * interval.level:g} % confidence",
        actual,
        interval,
        details,
    )
