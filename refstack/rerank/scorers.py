"""How well texts answer a query: means of a cosine, a match of tokens and an overlap of words.

Each part is scaled by constants that benchmarks/retrieval.py measures, so that all weigh the
same. A score depends on the query and the one text alone: scores from two batches compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from refstack.embed.minilm import MiniLm
from refstack.embed.models import Vectors, unit
from refstack.embed.wordllama import WordLlama
from refstack.rerank.cache import TextCache
from refstack.rerank.lexical import Words, overlap, weighted, words_of

Scores = npt.NDArray[np.float64]
_WORD_BYTES = 110
"""A word's share of its text's counts: a dictionary slot, and part of the shared string."""


@dataclass(frozen=True)
class Scale:
    """Mean and usual spread within one question's candidates, of one part of the score."""

    mean: float
    spread: float


Parts = tuple[Scores, ...]
"""The parts of the score before scaling, each of shape (texts,)."""


class Scorer(Protocol):
    """A loaded reranking model."""

    scales: tuple[Scale, ...]

    @property
    def cache_hits(self) -> int:
        """Texts that were found in the cache."""

    @property
    def cache_misses(self) -> int:
        """Texts that had to be read."""

    def parts(self, query: str, texts: Sequence[str]) -> Parts:
        """What the score is made of, before scaling."""

    def scores(self, query: str, texts: Sequence[str]) -> Scores:
        """Higher is better; 0 is a usual candidate of a first search."""


@dataclass(frozen=True)
class _Static:
    pooled: Vectors
    ids: npt.NDArray[np.int64]
    words: Words

    @property
    def nbytes(self) -> int:
        return self.pooled.nbytes + self.ids.nbytes + _WORD_BYTES * len(self.words.counts)


class Hybrid:
    """`hybrid-256`: WordLlama's vectors and the overlap of words; a few ms for 50 texts.

    For candidates that WordLlama found: MRR rises by .076 (95 % .056 to .096). MiniLM orders its
    own candidates better than this does (-.122); rerank those with `minilm-maxsim` or not at all.
    WordLlama learned long vectors for telling tokens and short ones for common ones, so lengths
    serve as weights of the query's tokens and words.
    """

    # Measured over the first 20 passages of 697 questions (benchmarks/retrieval.py).
    scales: tuple[Scale, ...] = (Scale(0.454, 0.0450), Scale(0.554, 0.0938), Scale(0.526, 0.187))

    def __init__(self, cache_bytes: int, device: str = "cpu") -> None:
        self._model = WordLlama()
        self._cache: TextCache[_Static] = TextCache(cache_bytes)

    @property
    def cache_hits(self) -> int:
        return self._cache.hits

    @property
    def cache_misses(self) -> int:
        return self._cache.misses

    def _read(self, text: str) -> _Static:
        ids = self._model.token_ids(text)
        pooled = unit(self._model.vectors_of(ids).mean(axis=0))
        return _Static(pooled, np.unique(ids), words_of(text))

    def _weight(self, word: str) -> float:
        vectors = self._model.vectors_of(self._model.token_ids(word))
        return float(np.linalg.norm(vectors, axis=1).max())

    def parts(self, query: str, texts: Sequence[str]) -> Parts:
        """Cosine, weighted mean of the nearest tokens, and overlap of words."""
        raw = self._model.vectors_of(self._model.token_ids(query))
        weights = np.linalg.norm(raw, axis=1)
        weights = weights / max(float(weights.sum()), 1e-12)
        read = [self._cache.get(text, self._read) for text in texts]
        cosine = np.stack([one.pooled for one in read]) @ unit(raw.mean(axis=0))
        # Texts share most of their tokens: each distinct one is compared with the query once.
        distinct, places = np.unique(np.concatenate([one.ids for one in read]), return_inverse=True)
        near = unit(raw) @ unit(self._model.vectors_of(distinct)).T
        starts = np.cumsum([0, *(len(one.ids) for one in read[:-1])])
        best = np.maximum.reduceat(near[:, places], starts, axis=1)
        asked = weighted(query, self._weight)
        return (
            cosine.astype(np.float64),
            (weights @ best).astype(np.float64),
            np.array([overlap(asked, one.words) for one in read]),
        )

    def scores(self, query: str, texts: Sequence[str]) -> Scores:
        """Higher is better; 0 is a usual candidate of a first search."""
        return _averaged(self.parts(query, texts), self.scales)


@dataclass(frozen=True)
class _Contextual:
    pooled: Vectors
    tokens: npt.NDArray[np.float16]

    @property
    def nbytes(self) -> int:
        return self.pooled.nbytes + self.tokens.nbytes


class MiniLmMaxSim:
    """`minilm-maxsim`: MiniLM's vectors of the text and of its tokens in context.

    Better than `hybrid-256` and about 45 ms of one core for each text that is not in the cache.
    An overlap of words as a third part took away from it on the same questions.
    """

    # Measured as those of Hybrid.
    scales: tuple[Scale, ...] = (Scale(0.363, 0.107), Scale(0.463, 0.0841))

    def __init__(self, cache_bytes: int, device: str = "cpu") -> None:
        self._model = MiniLm(device)
        self._cache: TextCache[_Contextual] = TextCache(cache_bytes)

    @property
    def cache_hits(self) -> int:
        return self._cache.hits

    @property
    def cache_misses(self) -> int:
        return self._cache.misses

    def _read(self, text: str) -> _Contextual:
        pooled, tokens = self._model.read(text)
        return _Contextual(pooled, tokens.astype(np.float16))

    def parts(self, query: str, texts: Sequence[str]) -> Parts:
        """Cosine, and the mean over the query's tokens of the nearest token of the text."""
        pooled, asked = self._model.read(query)
        read = [self._cache.get(text, self._read) for text in texts]
        cosine = np.stack([one.pooled for one in read]) @ pooled
        tokens = [(one.tokens.astype(np.float32) @ asked.T).max(axis=0).mean() for one in read]
        return cosine.astype(np.float64), np.array(tokens, dtype=np.float64)

    def scores(self, query: str, texts: Sequence[str]) -> Scores:
        """Higher is better; 0 is a usual candidate of a first search."""
        return _averaged(self.parts(query, texts), self.scales)


SCORERS: dict[str, Callable[..., Scorer]] = {
    "hybrid-256": Hybrid,
    "minilm-maxsim": MiniLmMaxSim,
}
"""Loads a scorer by name, with the bytes its cache may hold and its device (`cpu` or `cuda`);
raises ModelUnavailable."""

ON_CUDA = {"hybrid-256": False, "minilm-maxsim": True}
"""Which scorers hold a model that onnxruntime runs; looking up vectors needs no GPU."""


def _averaged(parts: Parts, scales: tuple[Scale, ...]) -> Scores:
    total = np.zeros(len(parts[0]))
    for value, scale in zip(parts, scales, strict=True):
        total += (value - scale.mean) / scale.spread
    return total / len(scales)
