"""Means and paired differences: intervals that hold for small and degenerate samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.checks.means import (
    betting_interval,
    bootstrap_interval,
    mean_interval,
    mean_verdict,
    paired_difference,
    paired_verdict,
)
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict


def test_ten_perfect_answers_do_not_show_a_mean_above_nine_tenths() -> None:
    result = mean_verdict([1.0] * 10, 0.9)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.interval is not None and result.interval.high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("scores", "floor", "verdict"),
    [
        ([1.0] * 300, 0.95, Verdict.PASS),
        ([0.5] * 300, 0.95, Verdict.FAIL),
        ([0.0] * 300, 0.95, Verdict.FAIL),
        ([], 0.95, Verdict.INCONCLUSIVE),
        ([1.0, 0.0] * 150, 0.5, Verdict.INCONCLUSIVE),
    ],
)
def test_floors_for_known_scores(scores: list[float], floor: float, verdict: Verdict) -> None:
    assert mean_verdict(scores, floor).verdict is verdict


@pytest.mark.parametrize("n", [8, 40, 200])
def test_a_mean_at_its_floor_passes_no_more_often_than_the_level_allows(n: int) -> None:
    rng = np.random.default_rng(n)
    passes = sum(
        mean_verdict((rng.random(n) < 0.9).astype(float), 0.9, seed=i).passed for i in range(250)
    )
    assert passes <= 250 * 0.025 * 1.8


def test_betting_is_tight_enough_to_be_of_use() -> None:
    scores = np.random.default_rng(4).beta(8, 2, 300)
    interval = betting_interval(scores)
    assert interval.low < 0.8 < interval.high
    assert interval.high - interval.low < 0.06


def test_intervals_mirror_when_scores_do() -> None:
    scores = np.random.default_rng(5).beta(2, 5, 80)
    there, back = betting_interval(scores), betting_interval(1 - scores)
    assert there.low == pytest.approx(1 - back.high, abs=1e-9)


def test_an_interval_is_the_same_every_time_and_for_sorted_questions_too() -> None:
    scores = np.random.default_rng(6).random(120)
    assert betting_interval(scores, seed=3) == betting_interval(scores, seed=3)
    assert bootstrap_interval(scores, seed=3) == bootstrap_interval(scores, seed=3)
    sorted_scores = betting_interval(np.sort(scores), seed=3)
    assert sorted_scores.low < float(scores.mean()) < sorted_scores.high


def test_a_score_outside_its_bounds_is_refused() -> None:
    with pytest.raises(HarnessError, match="outside its bounds"):
        betting_interval([0.5, 1.5])


def test_the_bootstrap_covers_a_skewed_mean_and_admits_what_it_cannot_know() -> None:
    rng = np.random.default_rng(8)
    inside = 0
    for seed in range(60):
        interval = bootstrap_interval(rng.exponential(size=80), seed=seed, resamples=600)
        inside += interval.low <= 1.0 <= interval.high
    assert inside >= 51
    for unknowable in ([], [2.0], [2.0] * 50, [1.0, math.inf]):
        interval = mean_interval(unknowable, bounds=None)
        assert math.isinf(interval.low) and math.isinf(interval.high)


def test_a_paired_difference_finds_a_small_shift_between_very_different_questions() -> None:
    rng = np.random.default_rng(9)
    before = rng.random(150) * 0.8
    after = before + 0.05 + rng.normal(0, 0.02, 150)
    interval = paired_difference(before, after)
    assert 0.04 < interval.low < 0.05 < interval.high < 0.06


def test_equal_scores_show_no_loss_only_when_there_are_enough_of_them() -> None:
    many, few = [0.8] * 600, [0.8] * 6
    assert paired_verdict(many, many, -0.05, bounds=(0, 1)).passed
    assert paired_verdict(few, few, -0.05, bounds=(0, 1)).verdict is Verdict.INCONCLUSIVE
    assert paired_verdict(few, few, -0.05).verdict is Verdict.INCONCLUSIVE


def test_a_clear_loss_fails() -> None:
    before = np.random.default_rng(10).random(300)
    assert paired_verdict(before, before * 0.5, -0.02, bounds=(0, 1)).verdict is Verdict.FAIL
    assert paired_verdict(before, before * 0.5, -0.02).verdict is Verdict.FAIL


def test_pairs_of_different_length_and_unanswered_requests_are_refused() -> None:
    with pytest.raises(HarnessError, match="same questions"):
        paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(HarnessError, match="undefined"):
        paired_difference([1.0, 2.0], [1.0, math.inf])
