"""Shares: exact intervals, both sides, and the harder question that a canary asks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from harness.checks.shares import (
    binomial_share_verdict,
    share_interval,
    share_verdict,
    trials_for_clean_share,
    trials_for_share,
)
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict


@settings(deadline=None, max_examples=60)
@given(data=st.data(), n=st.integers(1, 400))
def test_the_interval_is_the_exact_one(data: st.DataObject, n: int) -> None:
    k = data.draw(st.integers(0, n))
    interval = share_interval(k, n)
    reference = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert interval.low == pytest.approx(reference.low, abs=1e-9)
    assert interval.high == pytest.approx(reference.high, abs=1e-9)


@pytest.mark.parametrize(
    ("successes", "n", "limit", "side", "verdict"),
    [
        (0, 0, 0.01, "max", Verdict.INCONCLUSIVE),
        (0, 368, 0.01, "max", Verdict.PASS),
        (0, 367, 0.01, "max", Verdict.INCONCLUSIVE),
        (50, 1000, 0.01, "max", Verdict.FAIL),
        (1000, 1000, 0.99, "min", Verdict.PASS),
        (900, 1000, 0.99, "min", Verdict.FAIL),
        (9, 10, 0.99, "min", Verdict.INCONCLUSIVE),
        (0, 10**6, 0.0, "max", Verdict.INCONCLUSIVE),
        (1, 10**6, 0.0, "max", Verdict.FAIL),
    ],
)
def test_verdicts_for_known_counts(
    successes: int, n: int, limit: float, side: str, verdict: Verdict
) -> None:
    assert share_verdict(successes, n, limit, side).verdict is verdict  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0.001, 0.01, 0.2])
def test_the_number_of_clean_trials_asked_for_is_enough_and_one_fewer_is_not(limit: float) -> None:
    needed = trials_for_clean_share(limit)
    assert share_verdict(0, needed, limit, "max").passed
    assert share_verdict(0, needed - 1, limit, "max").verdict is Verdict.INCONCLUSIVE
    told = share_verdict(0, needed - 1, limit, "max").details["needed_if_clean"]
    assert told == needed


def test_a_share_at_its_limit_passes_no_more_often_than_the_level_allows() -> None:
    rng = np.random.default_rng(1)
    counts = rng.binomial(2000, 0.01, size=3000)
    passes = sum(share_verdict(int(k), 2000, 0.01, "max").passed for k in counts)
    assert passes <= 3000 * 0.025 * 1.5


@pytest.mark.parametrize(
    ("successes", "n", "verdict"),
    [
        (0, 0, Verdict.INCONCLUSIVE),
        (1, 10, Verdict.INCONCLUSIVE),  # exactly 10 %, and no evidence of it
        (200, 2000, Verdict.PASS),
        (400, 2000, Verdict.FAIL),
        (0, 2000, Verdict.FAIL),
        (2000, 2000, Verdict.FAIL),
    ],
)
def test_a_canary_share_must_be_shown_and_not_merely_unrefuted(
    successes: int, n: int, verdict: Verdict
) -> None:
    assert binomial_share_verdict(successes, n, 0.10).verdict is verdict


def test_the_number_of_canary_trials_asked_for_nearly_always_suffices() -> None:
    n = trials_for_share(0.10, 0.03)
    counts = np.random.default_rng(2).binomial(n, 0.10, size=400)
    passes = sum(binomial_share_verdict(int(k), n, 0.10).passed for k in counts)
    assert passes >= 400 * 0.92


def test_a_share_outside_the_tolerance_hardly_ever_passes() -> None:
    counts = np.random.default_rng(3).binomial(3000, 0.135, size=1000)
    assert sum(binomial_share_verdict(int(k), 3000, 0.10).passed for k in counts) <= 25


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(HarnessError):
        share_verdict(successes, n, 0.5, "max")


def test_a_side_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(HarnessError, match="at_most"):
        share_verdict(1, 5, 0.5, "at_most")  # type: ignore[arg-type]


def test_a_share_of_exactly_nothing_is_referred_to_counting() -> None:
    with pytest.raises(HarnessError, match="count of zero"):
        trials_for_clean_share(0.0)
