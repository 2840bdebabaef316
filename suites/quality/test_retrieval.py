"""quality/retrieval: do the labelled questions find their answers?"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.corpus import Corpus, Question
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.means import mean_verdict
from harness.checks.retrieval import recall_at_k, reciprocal_rank_at_k
from harness.core.evidence import Evidence
from harness.core.run import CHECKOUT

FLOORS = {"recall@5": 0.45, "MRR@10": 0.40}
"""What plain keyword search reaches: BM25 over the whole corpus finds recall@5 .449 and MRR@10 .405
(`python benchmarks/retrieval.py`, 5,363 passages, 697 questions). A stack whose interval does not
clear these, although each question searches only its own namespace, is not worth its vectors."""

ACCEPTED = CHECKOUT / "guide" / "accepted-quality.toml"

THREADS = 4


@conformance("quality/retrieval", since="0.1")
@needs("read", "write", roles=["edge"])
@pytest.mark.timing
def test_labelled_questions_find_their_answers(
    corpus: Corpus, tenants: Mapping[str, Tenant], connect: Connect, evidence: Evidence
) -> None:
    """Recall and mean reciprocal rank on the labelled questions SHOULD stay above their floors,
    with confidence, and not fall below the interval of the last accepted run."""
    gateways = {name: connect(tenant.token) for name, tenant in tenants.items()}

    def ask(question: Question) -> tuple[float, float, bool]:
        answer = gateways[question.tenant].query(question.text, question.persona, top_k=10)
        body = answer.expect(200).json
        relevant = dict.fromkeys(question.relevant, 1.0)
        ids = [row["document_id"] for row in body["results"]]
        return (
            recall_at_k(ids, relevant, 5),
            reciprocal_rank_at_k(ids, relevant, 10),
            bool(body["degraded"]),
        )

    with ThreadPoolExecutor(THREADS) as pool:
        scores = list(pool.map(ask, corpus.questions))
    degraded = sum(1 for *_, flag in scores if flag)
    evidence.require(
        f"{len(scores)} questions were answered, none of them degraded",
        len(scores) == len(corpus.questions) and not degraded,
        expected=f"{len(corpus.questions)} full answers",
        actual=f"{len(scores)} answers, {degraded} degraded",
    )
    results = []
    for name, column in (("recall@5", 0), ("MRR@10", 1)):
        result = mean_verdict(
            [row[column] for row in scores], FLOORS[name], "min", what=f"{name} ({corpus.origin})"
        )
        results.append(result)
        if result.interval is not None:
            evidence.measure(
                name,
                result.interval.estimate,
                "share",
                n=result.interval.n,
                interval=[result.interval.low, result.interval.high],
                level=result.interval.level,
                limit=FLOORS[name],
                side="min",
                method=result.interval.method,
            )
    for result in results:
        evidence.check(result)
    accepted = accepted_intervals(corpus.digest)
    if accepted is None:
        evidence.inconclusive(
            f"no run on this corpus ({corpus.origin}, {corpus.digest}) was accepted yet, so there "
            "is nothing to compare with; see guide/accepted-quality.toml"
        )
    for name, result in zip(FLOORS, results, strict=True):
        assert result.interval is not None
        low, high = accepted[name]
        evidence.require(
            f"{name} has not fallen below the last accepted run",
            result.interval.high >= low and result.interval.estimate >= low,
            expected=f"within or above [{low:g}, {high:g}]",
            actual=result.actual,
        )


def accepted_intervals(corpus: str) -> dict[str, tuple[float, float]] | None:
    """Return the accepted interval of each measure on the corpus with this digest."""
    for entry in tomllib.loads(ACCEPTED.read_text())["accepted"]:
        if entry["corpus"] == corpus:
            return {name: (entry[name][0], entry[name][1]) for name in FLOORS}
    return None
