"""recovery/round-trip: what comes back from a backup is what went in, by content."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from qdrant_client import QdrantClient

from fixtures.backup import Backup
from fixtures.corpus import Corpus
from fixtures.observed import Observer, compare
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import TargetError
from harness.core.evidence import Evidence
from harness.core.run import Run
from harness.drivers.base import Restart, Stack, Volume


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
    observer = Observer(stack, run)
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
