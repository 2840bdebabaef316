"""recovery/round-trip: what comes back from a backup is what went in, by content."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from fixtures.backup import Backup
from fixtures.corpus import Corpus
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.answers import (
    Answer,
    answers_verdict,
    configuration,
    configuration_verdict,
    top_k_answers,
)
from harness.checks.collection import Collection
from harness.checks.content import content_verdict, narrow
from harness.checks.digest import Digest, digest
from harness.core.errors import TargetError
from harness.core.evidence import Evidence
from harness.core.run import Run
from harness.drivers.base import Restart, Stack, Volume

QUERIES = 20


@dataclass(frozen=True)
class State:
    """Everything about one collection that a restore must bring back."""

    digest: Digest
    ledger: Path
    configuration: dict[str, Any]
    answers: list[Answer]


class Observer:
    """Reads a target's collections whole: content, configuration and exact answers."""

    def __init__(self, stack: Stack, vectordb: QdrantClient, run: Run) -> None:
        self._vectordb, self._scratch, self._seed = vectordb, run.scratch, run.seed
        self._url = stack.endpoint("vectordb").url
        self._key = stack.credentials("vectordb")["api_key"]

    def look(self, moment: str) -> dict[str, State]:
        """Return the state of each collection; ``moment`` names the ledgers."""
        return {
            each.name: self._look_at(each.name, moment)
            for each in self._vectordb.get_collections().collections
        }

    def _look_at(self, name: str, moment: str) -> State:
        with Collection(self._url, name, api_key=self._key, timeout_s=60) as collection:
            ledger = self._scratch / "ledgers" / f"{moment}-{name}"
            settings = configuration(collection)
            size = int(settings["config"]["params"]["vectors"]["size"])
            vectors = np.random.default_rng(self._seed).normal(size=(QUERIES, size)).tolist()
            return State(
                digest(collection, ledger=ledger),
                ledger,
                settings,
                top_k_answers(collection, vectors),
            )


def compare(
    evidence: Evidence, when: str, before: Mapping[str, State], after: Mapping[str, State]
) -> None:
    """Require that each collection is as it was: content, settings and answers."""
    evidence.require(
        f"{when}: the same collections",
        sorted(before) == sorted(after) and bool(before),
        expected=sorted(before),
        actual=sorted(after),
    )
    for name, then in before.items():
        now = after[name]
        if not then.digest.count:
            # A collection that was empty (a model in waiting) has no content to lose.
            evidence.require(
                f"{when}: {name} is as empty as it was",
                now.digest.count == 0,
                expected=0,
                actual=now.digest.count,
            )
        else:
            difference = narrow(then.digest, now.digest, then.ledger, now.ledger)
            evidence.check(
                content_verdict(
                    then.digest, now.digest, difference, what=f"{when}: content of {name}"
                )
            )
            evidence.check(answers_verdict(then.answers, now.answers))
        evidence.check(configuration_verdict(then.configuration, now.configuration))


@conformance("recovery/round-trip", since="0.1")
@needs("read", "write", "restart", "destroy", roles=["vectordb", "objectstore", "edge"])
@pytest.mark.timeout(240)
def test_restore_brings_back_identical_content(
    stack: Stack,
    vectordb: QdrantClient,
    backup: Backup,
    corpus: Corpus,
    tenants: Mapping[str, Tenant],
    connect: Connect,
    run: Run,
    evidence: Evidence,
) -> None:
    """After snapshot, loss of the volume and restore, each collection MUST hold the same ids,
    vectors, payloads, indexes, aliases and top-k answers, and keep them over a restart."""
    if not isinstance(stack, Volume) or not isinstance(stack, Restart):
        raise TargetError("This target's volumes can't be wiped.", actual=stack.name)
    observer = Observer(stack, vectordb, run)
    before = observer.look("before")
    points = sum(state.digest.count for state in before.values())
    evidence.require(
        "there is content to lose",
        points >= len(corpus.passages),
        expected=f"at least {len(corpus.passages)} points",
        actual=points,
    )
    question = corpus.questions[0]
    gateway = connect(tenants[question.tenant].token, timeout=20.0)
    answered = gateway.query(question.text, question.persona).expect(200).json["results"]

    began = time.monotonic()
    kept = backup.take()
    evidence.measure("backup of the vector store", time.monotonic() - began, "s", n=points)
    evidence.measure("size of the backup", sum(each.size for each in kept), "bytes")

    stack.wipe("vectordb")
    stack.start("vectordb")
    stack.ready("vectordb")
    left = vectordb.get_collections().collections
    evidence.require(
        "the volume is really lost", not left, expected="no collection", actual=len(left)
    )

    began = time.monotonic()
    backup.restore(kept)
    evidence.measure("restore of the vector store", time.monotonic() - began, "s", n=points)
    compare(evidence, "after the restore", before, observer.look("restored"))

    stack.restart("vectordb")
    stack.ready("vectordb")
    compare(evidence, "after a restart", before, observer.look("restarted"))

    stack.ready("gateway")
    again = gateway.query(question.text, question.persona).expect(200).json["results"]
    evidence.require(
        "the gateway answers a question as before",
        [row["chunk_id"] for row in again] == [row["chunk_id"] for row in answered],
        expected=[row["chunk_id"] for row in answered],
        actual=[row["chunk_id"] for row in again],
    )
