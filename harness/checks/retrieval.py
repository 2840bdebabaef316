"""Retrieval quality of each question: recall, reciprocal rank and nDCG at k."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import HarnessError

Id = TypeVar("Id", bound=Hashable)
Measure = Callable[[Sequence[Id], Mapping[Id, float], int], float]


def recall_at_k(ranked: Sequence[Id], relevant: Mapping[Id, float], k: int) -> float:
    """Return the share of relevant ids among the first ``k`` answers, each counted once."""
    _check(relevant, k)
    wanted = _positive(relevant)
    return len(wanted.keys() & set(ranked[:k])) / len(wanted)


def reciprocal_rank_at_k(ranked: Sequence[Id], relevant: Mapping[Id, float], k: int) -> float:
    """Return 1/rank of the first relevant answer within ``k``, else 0 (its mean is MRR@k)."""
    _check(relevant, k)
    wanted = _positive(relevant)
    for rank, answer in enumerate(ranked[:k], start=1):
        if answer in wanted:
            return 1 / rank
    return 0.0


def ndcg_at_k(ranked: Sequence[Id], relevant: Mapping[Id, float], k: int) -> float:
    """Return the normalised discounted cumulative gain of the first ``k`` answers.

    Gains are linear and discounted by log2(rank + 1); an id that comes twice gains once. Source:
    Järvelin and Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", TOIS 20.
    """
    _check(relevant, k)
    wanted = _positive(relevant)
    ideal = sorted(wanted.values(), reverse=True)[:k]
    best = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(ideal, start=1))
    got = sum(
        wanted.pop(answer, 0.0) / math.log2(rank + 1)
        for rank, answer in enumerate(ranked[:k], start=1)
    )
    return got / best


def scores(
    measure: Measure[Id],
    answers: Mapping[str, Sequence[Id]],
    relevant: Mapping[str, Mapping[Id, float]],
    k: int,
) -> tuple[list[str], NDArray[np.float64]]:
    """Return the questions in sorted order and the measure of each.

    A question without an answer scores 0 rather than dropping out of the mean. Raises
    :class:`HarnessError` for an answer to a question that has no labels.
    """
    unlabelled = sorted(set(answers) - set(relevant))
    if unlabelled:
        raise HarnessError(
            "an answer belongs to a question without labels",
            expected="labels for every question",
            actual=f"{len(unlabelled)} without, for instance {unlabelled[0]!r}",
        )
    questions = sorted(relevant)
    values = [measure(answers.get(name, ()), relevant[name], k) for name in questions]
    return questions, np.array(values, dtype=np.float64)


def _positive(relevant: Mapping[Id, float]) -> dict[Id, float]:
    return {name: gain for name, gain in relevant.items() if gain > 0}


def _check(relevant: Mapping[Id, float], k: int) -> None:
    if k < 1:
        raise HarnessError("quality is measured at a cut-off", expected="k >= 1", actual=k)
    if not _positive(relevant) or any(math.isnan(g) or g < 0 for g in relevant.values()):
        raise HarnessError(
            "a question needs something relevant",
            expected="at least one id with a gain above 0, and none below",
            actual=dict(relevant),
        )
