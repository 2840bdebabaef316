"""Percentile verdicts: exact ranks, honest small samples, error rates kept under correlation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import binom

from harness.checks.quantiles import (
    lag1_autocorrelation,
    order_ranks,
    percentile_interval,
    percentile_verdict,
    samples_for_upper_bound,
    variance_inflation,
)
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

Q95_NORMAL = 1.6448536269514722


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 3000),
    p=st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]),
    level=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_ranks_enclose_the_quantile_and_are_the_tightest_that_do(
    n: int, p: float, level: float
) -> None:
    tail = (1 - level) / 2
    lower, upper = order_ranks(n, p, level)
    assert binom.cdf(lower - 1, n, p) <= tail + 1e-12
    assert lower == n or binom.cdf(lower, n, p) > tail - 1e-12
    if upper <= n:
        assert binom.sf(upper - 1, n, p) <= tail + 1e-12
    else:
        assert upper == n + 1
    assert binom.sf(upper - 2, n, p) > tail - 1e-12


@pytest.mark.parametrize(("p", "level", "needed"), [(0.95, 0.95, 72), (0.5, 0.95, 6)])
def test_the_number_of_samples_needed_for_an_upper_bound_is_exact(
    p: float, level: float, needed: int
) -> None:
    assert samples_for_upper_bound(p, level) == needed
    assert order_ranks(needed, p, level)[1] == needed
    assert order_ranks(needed - 1, p, level)[1] == needed  # one beyond the sample: no bound


@pytest.mark.parametrize(
    ("samples", "verdict"),
    [
        ([0.1] * 1000, Verdict.PASS),
        ([0.3] * 1000, Verdict.FAIL),
        ([0.1, 0.3] * 500, Verdict.FAIL),
        ([0.1] * 947 + [0.3] * 53, Verdict.INCONCLUSIVE),
        ([], Verdict.INCONCLUSIVE),
        ([0.1] * 71, Verdict.INCONCLUSIVE),
        ([0.1] * 72, Verdict.PASS),
        ([0.3] * 71, Verdict.FAIL),  # no upper bound, and a lower one beyond the limit
        ([math.inf] * 100, Verdict.FAIL),
        ([0.1] * 98 + [math.inf] * 2, Verdict.INCONCLUSIVE),
    ],
)
def test_verdicts_for_known_samples(samples: list[float], verdict: Verdict) -> None:
    assert percentile_verdict(samples, 0.95, 0.25, blocks=1).verdict is verdict


def test_no_samples_is_inconclusive_and_says_so() -> None:
    result = percentile_verdict([], 0.95, 0.25)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.details["reason"] == "no samples"
    assert result.details["needed"] == 72


def test_too_few_samples_name_how_many_it_takes() -> None:
    result = percentile_verdict([0.1] * 40, 0.95, 0.25, blocks=1)
    assert "72 needed" in result.details["reason"]
    assert math.isinf(result.interval.high)  # type: ignore[union-attr]


def test_a_result_is_json_even_when_its_interval_is_unbounded() -> None:
    result = percentile_verdict([0.1] * 40, 0.95, 0.25)
    text = json.dumps(result.as_json(), allow_nan=False)
    assert json.loads(text)["interval"]["high"] is None
    assert json.loads(text)["verdict"] == "inconclusive"


@pytest.mark.parametrize("bad", [[math.nan], [0.1, math.nan], [-math.inf], [[0.1], [0.2]]])
def test_what_is_no_measurement_is_refused(bad: list[float]) -> None:
    with pytest.raises(HarnessError):
        percentile_verdict(bad, 0.95, 0.25)


@pytest.mark.parametrize(
    ("p", "level", "limit", "blocks"),
    [
        (95, 0.95, 1, 10),
        (0, 0.95, 1, 10),
        (0.95, 95, 1, 10),
        (0.95, 0.95, math.nan, 10),
        (0.9, 0.9, 1, 0),
    ],
)
def test_bad_arguments_are_refused(p: float, level: float, limit: float, blocks: int) -> None:
    with pytest.raises(HarnessError):
        percentile_verdict([0.1] * 100, p, limit, level, blocks=blocks)


def test_one_burst_of_slowness_is_not_taken_for_many_independent_slow_samples() -> None:
    steady = np.linspace(0.05, 0.06, 2000)
    steady[1000:1090] = 0.5  # 4.5 % slow, all in one stall: seen once
    assert percentile_verdict(steady, 0.95, 0.25, blocks=1).verdict is not Verdict.FAIL
    result = percentile_verdict(steady, 0.95, 0.25)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.details["n_effective"] < 100


def test_inflation_never_narrows_an_interval() -> None:
    alternating = np.tile([True, False], 500)  # negatively correlated
    assert variance_inflation(alternating, 10) == 1.0
    assert variance_inflation(np.array([], dtype=bool), 10) == 1.0
    assert variance_inflation(np.ones(50, dtype=bool), 10) == 1.0


def test_lag1_autocorrelation_tells_order_from_noise() -> None:
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(4000)
    assert abs(lag1_autocorrelation(noise)) < 0.06
    assert lag1_autocorrelation(np.sort(noise)) > 0.99
    assert lag1_autocorrelation([1.0, 1.0, 1.0, 1.0]) == 0.0
    assert abs(lag1_autocorrelation([*noise, math.inf])) < 0.06


def _autoregressive(rng: np.random.Generator, n: int, phi: float) -> np.ndarray:
    """Standard normal samples whose lag-k correlation is phi**k."""
    noise = rng.standard_normal(n + 300)
    return np.asarray(lfilter([math.sqrt(1 - phi * phi)], [1, -phi], noise))[300:]


@pytest.mark.parametrize(
    ("phi", "n", "blocks"), [(0.0, 300, 1), (0.0, 500, 10), (0.5, 500, 10), (0.9, 1500, 10)]
)
def test_a_target_at_the_limit_passes_no_more_often_than_the_level_allows(
    phi: float, n: int, blocks: int
) -> None:
    """The true p95 is exactly the limit: pass and fail may each come in 2.5 % of the runs."""
    rng = np.random.default_rng(20260101)
    runs = 800
    passes = fails = 0
    for _ in range(runs):
        verdict = percentile_verdict(
            _autoregressive(rng, n, phi), 0.95, Q95_NORMAL, blocks=blocks
        ).verdict
        passes += verdict is Verdict.PASS
        fails += verdict is Verdict.FAIL
    allowed = int(binom.ppf(0.9999, runs, 0.025))
    assert passes <= allowed
    assert fails <= allowed


def test_treating_correlated_samples_as_independent_would_pass_too_often() -> None:
    """The control of the test above: without blocks the same simulation breaks the level."""
    rng = np.random.default_rng(7)
    passes = sum(
        percentile_verdict(_autoregressive(rng, 1500, 0.9), 0.95, Q95_NORMAL, blocks=1).passed
        for _ in range(300)
    )
    assert passes > 300 * 0.1


def test_a_target_slightly_beyond_the_limit_is_passed_less_often_still() -> None:
    rng = np.random.default_rng(11)
    passes = sum(
        percentile_verdict(rng.standard_normal(400) + 0.1, 0.95, Q95_NORMAL).passed
        for _ in range(500)
    )
    assert passes <= 500 * 0.025


def test_a_clearly_better_target_passes_and_a_clearly_worse_one_fails() -> None:
    rng = np.random.default_rng(12)
    good = [percentile_verdict(rng.standard_normal(600) - 0.6, 0.95, Q95_NORMAL) for _ in range(60)]
    bad = [percentile_verdict(rng.standard_normal(600) + 0.6, 0.95, Q95_NORMAL) for _ in range(60)]
    assert sum(result.verdict is Verdict.PASS for result in good) >= 57
    assert sum(result.verdict is Verdict.FAIL for result in bad) >= 57


def test_the_interval_holds_its_estimate_and_grows_with_the_level() -> None:
    samples = np.random.default_rng(5).exponential(size=900)
    narrow, _ = percentile_interval(samples, 0.95, 0.9)
    wide, _ = percentile_interval(samples, 0.95, 0.999)
    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high
