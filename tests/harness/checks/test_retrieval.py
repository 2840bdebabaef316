"""Retrieval measures on rankings worked out by hand."""

from __future__ import annotations

import math

import pytest

from harness.checks.retrieval import ndcg_at_k, recall_at_k, reciprocal_rank_at_k, scores
from harness.core.errors import HarnessError

RELEVANT = {"a": 1.0, "b": 1.0, "z": 0.0}


@pytest.mark.parametrize(
    ("ranked", "k", "recall", "reciprocal"),
    [
        (["a", "b"], 2, 1.0, 1.0),
        (["x", "a", "b"], 2, 0.5, 0.5),
        (["x", "a", "b"], 3, 1.0, 0.5),
        (["a", "a", "a"], 3, 0.5, 1.0),
        (["z", "x"], 2, 0.0, 0.0),
        ([], 5, 0.0, 0.0),
    ],
)
def test_recall_and_reciprocal_rank(
    ranked: list[str], k: int, recall: float, reciprocal: float
) -> None:
    assert recall_at_k(ranked, RELEVANT, k) == recall
    assert reciprocal_rank_at_k(ranked, RELEVANT, k) == reciprocal


def test_ndcg_is_one_for_the_ideal_order_and_falls_with_rank() -> None:
    graded = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert ndcg_at_k(["a", "b", "c"], graded, 3) == pytest.approx(1.0)
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg_at_k(["c", "b", "a"], graded, 3) == pytest.approx(
        (1 + 2 / math.log2(3) + 3 / 2) / ideal
    )
    assert ndcg_at_k(["x", "y", "w"], graded, 3) == 0.0


def test_a_repeated_answer_gains_once() -> None:
    assert ndcg_at_k(["a", "a"], {"a": 1.0}, 2) == pytest.approx(1.0)


def test_a_question_without_an_answer_scores_zero_and_stays_in_the_mean() -> None:
    names, values = scores(recall_at_k, {"q1": ["a"]}, {"q1": {"a": 1.0}, "q2": {"b": 1.0}}, 5)
    assert names == ["q1", "q2"]
    assert values.tolist() == [1.0, 0.0]


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(HarnessError, match="relevant"):
        recall_at_k(["a"], {"a": 0.0}, 5)
    with pytest.raises(HarnessError, match="cut-off"):
        recall_at_k(["a"], RELEVANT, 0)
    with pytest.raises(HarnessError, match="without labels"):
        scores(recall_at_k, {"q9": ["a"]}, {"q1": {"a": 1.0}}, 5)
