"""Picks the small part of a corpus that is kept in the repository for a first run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from corpus.passages import Corpus


def pick(corpus: Corpus, questions_per_source: Mapping[str, int], passages: int) -> Corpus:
    """Questions by a fixed lot, all passages that answer them, and others up to `passages`.

    The lot is the digest of the id, so the same corpus gives the same sample, and a changed page
    changes no more of it than it must.
    """
    questions = [
        question
        for source, count in questions_per_source.items()
        for question in sorted(
            (one for one in corpus.questions if one.source == source),
            key=lambda one: _lot(one.question_id),
        )[:count]
    ]
    wanted = {one for question in questions for one in question.relevant}
    others = sorted(
        (
            one.passage_id
            for one in corpus.passages
            if one.source in questions_per_source and one.passage_id not in wanted
        ),
        key=_lot,
    )
    wanted.update(others[: max(0, passages - len(wanted))])
    chosen = {question.question_id for question in questions}
    return Corpus(
        [one for one in corpus.passages if one.passage_id in wanted],
        [one for one in corpus.questions if one.question_id in chosen],
    )


def _lot(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
