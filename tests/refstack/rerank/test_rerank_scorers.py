"""A score hangs on the query and the text alone, and reranking helps on labelled questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refstack.embed.wordllama import WordLlama
from refstack.rerank.cache import TextCache
from refstack.rerank.lexical import overlap, weighted, words_of
from refstack.rerank.scorers import SCORERS, Hybrid, Scorer

SAMPLE = Path(__file__).resolve().parents[3] / "fixtures/data/sample"
QUERY = "How do I copy a file?"
TEXTS = [
    "The sky is blue.",
    "Use File::Copy to copy files.",
    "x",
    "\x00",
    "A file can be copied with the shell's cp, or with a module.",
    "copy copy copy file file file",
    "word " * 500,
]


@pytest.fixture(scope="module", params=list(SCORERS))
def make(request: pytest.FixtureRequest) -> Callable[[int], Scorer]:
    made: Callable[[int], Scorer] = SCORERS[request.param]
    return made


def test_a_score_depends_on_neither_the_batch_nor_the_cache(make: Callable[[int], Scorer]) -> None:
    cached = make(1 << 24)
    together = cached.scores(QUERY, TEXTS)
    again = cached.scores(QUERY, TEXTS)
    alone = np.concatenate([make(0).scores(QUERY, [text]) for text in TEXTS[:4]])
    reverse = cached.scores(QUERY, TEXTS[::-1])[::-1]
    assert np.isfinite(together).all()
    assert np.allclose(together, again, atol=1e-6)
    assert np.allclose(together[:4], alone, atol=1e-4)
    assert np.allclose(together, reverse, atol=1e-6)
    assert (cached.cache_hits, cached.cache_misses) == (2 * len(TEXTS), len(TEXTS))


def test_what_answers_comes_before_what_does_not(make: Callable[[int], Scorer]) -> None:
    scores = make(1 << 24).scores(QUERY, TEXTS)
    assert scores[1] > scores[0]
    assert scores[4] > scores[0]


def test_a_query_of_nothing_but_signs_is_scored_all_the_same(
    make: Callable[[int], Scorer],
) -> None:
    assert np.isfinite(make(0).scores("?!", TEXTS)).all()
    assert np.isfinite(make(0).scores("\x00", TEXTS)).all()


def test_the_default_raises_the_rank_of_the_answers_in_the_sample() -> None:
    passages = [json.loads(line) for line in (SAMPLE / "passages.jsonl").open()]
    questions = [json.loads(line) for line in (SAMPLE / "questions.jsonl").open()]
    texts = [one["text"] for one in passages]
    names = [one["passage_id"] for one in passages]
    model, scorer = WordLlama(), Hybrid(1 << 26)
    vectors = model.embed(texts).vectors
    before, after = [], []
    for question in questions:
        first = np.argsort(-(vectors @ model.embed([question["question"]]).vectors[0]))[:20]
        scores = scorer.scores(question["question"], [texts[row] for row in first])
        for ranks, order in ((before, first), (after, first[np.argsort(-scores)])):
            found = [at for at, row in enumerate(order) if names[row] in question["relevant"]]
            ranks.append(1 / (found[0] + 1) if found else 0.0)
    assert np.mean(after) > np.mean(before)


def test_overlap_grows_with_matches_and_shrinks_with_length() -> None:
    query = weighted("copy file", lambda word: 1.0)
    none, one, both = (overlap(query, words_of(t)) for t in ("sky", "a copy", "copy a file"))
    assert none == 0 < one < both
    assert overlap(query, words_of("copy file " + "word " * 300)) < both
    assert overlap(query, words_of("copy file " * 50)) < 2.2
    assert overlap({}, words_of("copy")) == 0


class _Value:
    nbytes = 1000


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    made: list[str] = []

    def make(text: str) -> _Value:
        made.append(text)
        return _Value()

    cache: TextCache[_Value] = TextCache(3 * 1200)
    for text in ("a", "b", "c", "a", "d", "a", "b"):
        cache.get(text, make)
    assert made == ["a", "b", "c", "d", "b"]
    assert (len(cache), cache.hits, cache.misses) == (3, 2, 5)
    assert cache.held_bytes <= 3 * 1200


def test_a_cache_of_nothing_keeps_nothing() -> None:
    cache: TextCache[_Value] = TextCache(0)
    cache.get("a", lambda text: _Value())
    assert (len(cache), cache.held_bytes) == (0, 0)
