"""Prints how well each model and reranker finds the answers of a corpus, with 95 % intervals.

    python benchmarks/retrieval.py CORPUS [--limit N] [--skip-minilm]

CORPUS is a folder that scripts/build_corpus.py wrote. MiniLM reads every passage once, at about
20 a second and core; its vectors are kept in CORPUS beside the passages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from refstack.embed.models import LOADERS, Vectors
from refstack.rerank.lexical import words_of
from refstack.rerank.scorers import SCORERS, Scorer

Ranks = npt.NDArray[np.int64]
FIRST = 20
"""Passages of the first search that a reranker is given."""


class Corpus:
    """Passages, questions, and which passages answer which question (by row)."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        passages = _lines(folder / "passages.jsonl")
        questions = _lines(folder / "questions.jsonl")[:limit]
        rows = {one["passage_id"]: row for row, one in enumerate(passages)}
        self.folder = folder
        self.passages = [str(one["text"]) for one in passages]
        self.questions = [str(one["question"]) for one in questions]
        self.relevant = [{rows[name] for name in one["relevant"]} for one in questions]


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def reciprocal_ranks(corpus: Corpus, ranked: Sequence[Ranks]) -> npt.NDArray[np.float64]:
    """1 / rank of the first answer among the first ten, 0 where there is none."""
    return np.array(
        [
            next((1 / (at + 1) for at, row in enumerate(order[:10]) if row in answers), 0.0)
            for order, answers in zip(ranked, corpus.relevant, strict=True)
        ]
    )


def show(
    corpus: Corpus, name: str, ranked: Sequence[Ranks], base: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Print one row of the table; with `base` the paired gain in MRR as well."""
    pairs = list(zip(ranked, corpus.relevant, strict=True))
    hit = np.mean([bool(answers & set(order[:5].tolist())) for order, answers in pairs])
    recall = np.mean(
        [len(answers & set(order[:5].tolist())) / len(answers) for order, answers in pairs]
    )
    ranks = reciprocal_ranks(corpus, ranked)
    line = f"{name:38} {hit:6.3f} {recall:9.3f} {_interval(ranks):>22}"
    if base is not None:
        line += f"   {_interval(ranks - base, signed=True)}"
    print(line)
    return ranks


def _interval(values: npt.NDArray[np.float64], signed: bool = False) -> str:
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    form = "+.3f" if signed else ".3f"
    mean = values.mean()
    return f"{mean:{form}} ({mean - half:{form}}, {mean + half:{form}})"


def bm25(corpus: Corpus) -> list[Ranks]:
    """BM25 over the whole corpus, k1 = 1.2 and b = 0.75."""
    texts = [words_of(text) for text in corpus.passages]
    usual = float(np.mean([text.total for text in texts]))
    postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row, text in enumerate(texts):
        length = 1.2 * (0.25 + 0.75 * text.total / usual)
        for word, count in text.counts.items():
            postings[word].append((row, count * 2.2 / (count + length)))
    ranked = []
    for question in corpus.questions:
        scores = np.zeros(len(texts))
        for word in words_of(question).counts:
            found = postings.get(word, [])
            rarity = math.log(1 + (len(texts) - len(found) + 0.5) / (len(found) + 0.5))
            for row, weight in found:
                scores[row] += rarity * weight
        ranked.append(np.argsort(-scores, kind="stable")[:FIRST])
    return ranked


def by_model(corpus: Corpus, name: str) -> list[Ranks]:
    """The nearest passages by cosine; passage vectors are kept beside the corpus."""
    model = LOADERS[name]("cpu")
    digest = hashlib.sha256("\0".join(corpus.passages).encode()).hexdigest()[:12]
    kept = corpus.folder / f".{name}-{digest}.npy"
    if kept.is_file():
        passages: Vectors = np.load(kept)
    else:
        begun = time.perf_counter()
        passages = model.embed(corpus.passages).vectors
        rate = len(passages) / (time.perf_counter() - begun)
        np.save(kept, passages)
        print(f"{name}: {rate:.0f} passages/s on one thread", file=sys.stderr)
    nearest = model.embed(corpus.questions).vectors @ passages.T
    return list(np.argsort(-nearest, axis=1, kind="stable")[:, :FIRST])


def reranked(corpus: Corpus, scorer: Scorer, first: Sequence[Ranks]) -> list[Ranks]:
    """The first search's passages in the reranker's order."""
    ranked = []
    for question, order in zip(corpus.questions, first, strict=True):
        scores = scorer.scores(question, [corpus.passages[row] for row in order])
        ranked.append(order[np.argsort(-scores, kind="stable")])
    return ranked


def show_scales(corpus: Corpus, name: str, scorer: Scorer, first: Sequence[Ranks]) -> None:
    """Print the constants that the scorer's parts are scaled by, as measured on this corpus."""
    parts = [
        scorer.parts(question, [corpus.passages[row] for row in order])
        for question, order in zip(corpus.questions, first, strict=True)
    ]
    print(f"{name}: scales in use, and as measured over the first {FIRST} of wordllama-256")
    for place, scale in enumerate(scorer.scales):
        values = [one[place] for one in parts]
        mean = np.concatenate(values).mean()
        spread = np.mean([value.std() for value in values])
        print(f"  {scale.mean:.3f} / {scale.spread:.4f}   {mean:.3f} / {spread:.4f}")


def show_speed(corpus: Corpus, name: str, make: Callable[[int], Scorer]) -> None:
    """Print milliseconds for 20 and 50 texts, unread and from the cache."""
    for count in (20, 50):
        cold: list[float] = []
        warm: list[float] = []
        for start in range(0, 5 * count, count):
            scorer = make(1 << 30)
            scorer.scores("warm up", corpus.passages[-2:])
            for times in (cold, warm):
                begun = time.perf_counter()
                scorer.scores(corpus.questions[0], corpus.passages[start : start + count])
                times.append(1e3 * (time.perf_counter() - begun))
        figures = f"{np.median(cold):.1f} ms unread, {np.median(warm):.1f} ms cached"
        print(f"{name}: {count} texts {figures}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=int, default=None, help="only the first N questions")
    parser.add_argument("--skip-minilm", action="store_true", help="only what takes seconds")
    options = parser.parse_args(argv)
    try:
        corpus = Corpus(options.corpus, options.limit)
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing; build it with scripts/build_corpus.py")
    print(f"{len(corpus.passages)} passages, {len(corpus.questions)} questions")
    print(f"{'':38} {'hit@5':>6} {'recall@5':>9} {'MRR@10 (95 %)':>22}   gain in MRR (95 %)")
    show(corpus, "BM25", bm25(corpus))
    models = ["wordllama-256"] if options.skip_minilm else ["wordllama-256", "minilm-384"]
    names = ["hybrid-256"] if options.skip_minilm else list(SCORERS)
    scorers = {name: SCORERS[name](1 << 30) for name in names}
    searches = {name: by_model(corpus, name) for name in models}
    for model, first in searches.items():
        base = show(corpus, model, first)
        for name, scorer in scorers.items():
            show(corpus, f"{model} + {name}", reranked(corpus, scorer, first), base)
    ceiling = [
        (
            name,
            np.mean([bool(a & set(o.tolist())) for o, a in zip(s, corpus.relevant, strict=True)]),
        )
        for name, s in searches.items()
    ]
    for model, share in ceiling:
        print(f"{model}: an answer among the first {FIRST} for {share:.3f} of the questions")
    for name, scorer in scorers.items():
        show_scales(corpus, name, scorer, searches["wordllama-256"])
        show_speed(corpus, name, SCORERS[name])
    print(f"labels for each question: {dict(sorted(Counter(map(len, corpus.relevant)).items()))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
