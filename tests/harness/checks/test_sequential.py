"""Sampling in rounds: decides early when it can and errs no more often than a single look."""

from __future__ import annotations

import numpy as np
import pytest

from harness.checks.quantiles import percentile_verdict
from harness.checks.result import CheckResult
from harness.checks.sequential import look_levels, sequential
from harness.checks.shares import share_verdict
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict


def _share_at_most_ten_percent(samples: np.ndarray, level: float) -> CheckResult:
    return share_verdict(int(samples.sum()), len(samples), 0.10, "max", level)


@pytest.mark.parametrize("rounds", [1, 2, 5, 20])
def test_all_looks_together_spend_exactly_the_allowance(rounds: int) -> None:
    levels = look_levels(rounds, 0.95)
    assert len(levels) == rounds
    assert sum(1 - level for level in levels) == pytest.approx(0.05)


def test_peeking_does_not_raise_the_false_pass_rate_and_naive_peeking_does() -> None:
    """The true share is exactly the limit, and there are twelve chances to pass by luck."""
    rng = np.random.default_rng(42)
    rounds, runs = 12, 600
    guarded = naive = 0
    for _ in range(runs):
        draws = (rng.random((rounds, 150)) < 0.10).astype(float)
        guarded += sequential(
            lambda i, draws=draws: draws[i], _share_at_most_ten_percent, rounds=rounds
        ).passed
        hits = np.cumsum(draws.sum(axis=1))
        naive += any(
            share_verdict(int(hits[i]), 150 * (i + 1), 0.10, "max").passed for i in range(rounds)
        )
    assert guarded <= runs * 0.025 * 1.7
    assert naive > runs * 0.05


def test_sampling_stops_as_soon_as_the_verdict_falls() -> None:
    asked: list[int] = []

    def draw(round_number: int) -> np.ndarray:
        asked.append(round_number)
        return np.full(400, 0.1)

    result = sequential(draw, lambda x, level: percentile_verdict(x, 0.95, 0.25, level), rounds=8)
    assert result.passed
    assert asked == [0]
    assert result.details["looks"] == [{"n": 400, "level": look_levels(8)[0], "verdict": "pass"}]


def test_a_spent_budget_of_rounds_is_inconclusive() -> None:
    result = sequential(lambda _: np.array([1.0] + [0.0] * 9), _share_at_most_ten_percent, rounds=4)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert [look["n"] for look in result.details["looks"]] == [10, 20, 30, 40]


def test_a_spent_budget_of_time_begins_no_further_round() -> None:
    result = sequential(
        lambda _: np.array([1.0] + [0.0] * 9),
        _share_at_most_ten_percent,
        rounds=50,
        budget_s=0.0,
    )
    assert len(result.details["looks"]) == 1


def test_an_error_ends_the_sampling_at_once() -> None:
    result = sequential(
        lambda _: [1.0], lambda _x, _level: CheckResult(Verdict.ERROR, "broken"), rounds=5
    )
    assert result.verdict is Verdict.ERROR
    assert len(result.details["looks"]) == 1


def test_no_rounds_are_refused() -> None:
    with pytest.raises(HarnessError):
        look_levels(0)
