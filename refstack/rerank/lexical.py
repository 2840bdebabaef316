"""Word overlap with BM25's saturation and length normalisation (Robertson and Zaragoza, 2009)."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_SATURATION = 1.2
_LENGTH_SHARE = 0.75
_USUAL_WORDS = 120
"""Words of a usual passage; fixed, so that a score does not hang on the other candidates."""


@dataclass(frozen=True)
class Words:
    """How often each word occurs in a text, and how many there are."""

    counts: Mapping[str, int]
    total: int


def words_of(text: str) -> Words:
    """The words of a text, folded to lower case."""
    # Interned: the texts of a cache share most of their words.
    counts = Counter(sys.intern(word) for word in _WORD.findall(text.casefold()))
    return Words(dict(counts), counts.total())


def overlap(query: Mapping[str, float], text: Words) -> float:
    """0 where no word of the query occurs, towards 2.2 where all occur often.

    `query` holds the weight of each of its words. BM25's inverse document frequency is left to
    these weights: a reranker sees no collection, and a frequency among the candidates would
    make scores of two batches incomparable.
    """
    weights = sum(query.values())
    if not weights:
        return 0.0
    length = 1 - _LENGTH_SHARE + _LENGTH_SHARE * text.total / _USUAL_WORDS
    score = 0.0
    for word, weight in query.items():
        count = text.counts.get(word, 0)
        score += weight * count * (_SATURATION + 1) / (count + _SATURATION * length)
    return score / weights


def weighted(text: str, weight: Callable[[str], float]) -> dict[str, float]:
    """The distinct words of a query with their weights."""
    return {word: weight(word) for word in words_of(text).counts}
