"""backup/restore-dry-run: the weekly verification restores for real and compares content."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from fixtures.bucket import Backups, taken
from fixtures.scripts import RunScript, StartScript
from fixtures.stores import ALIAS
from harness import conformance, needs
from harness.core.evidence import Evidence

VECTORS, METADATA, VERIFY = "backup_qdrant.sh", "backup_metadata.sh", "verify_backup.sh"


@conformance("backup/restore-dry-run", since="0.2")
@needs("read", "write", roles=["vectordb", "metadata", "objectstore", "edge"])
@pytest.mark.timeout(240)
def test_verification_restores_and_compares_content(
    run_script: RunScript,
    start_script: StartScript,
    backups: Backups,
    vectordb: QdrantClient,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """The verification MUST restore both stores into a scratch place, and find out a backup whose
    checksums are right and that restores to another payload or vector than was backed up."""
    point = _point(vectordb, write_document())
    # The two stores have nothing to do with each other here, and need not wait for each other.
    taking = start_script(METADATA, "--no-prune")
    sound = taken(run_script(VECTORS, "--full", "--no-prune"))
    rows = taken(taking.finish())
    before = sorted(each.name for each in vectordb.get_collections().collections)
    verifying = {
        store: start_script(VERIFY, "--backup", backup, "--no-record")
        for store, backup in (("vectordb", sound), ("metadata", rows))
    }
    for store, counted in (("vectordb", "points"), ("metadata", "rows")):
        ran = verifying[store].finish()
        evidence.require(
            f"a sound backup of the {store} is verified",
            ran.exit_code == 0,
            expected="exit code 0",
            actual=ran.told,
        )
        found = ran.event("finished").get(store, {})
        evidence.require(
            f"{store}: its content was restored and compared",
            int(found.get(counted, 0)) > 0,
            expected=f"{counted} that were compared",
            actual=found,
        )
    others = []
    for part, changed in (
        ("payload", point.model_copy(update={"payload": {**point.payload, "tier": "cold"}})),
        ("vector", point.model_copy(update={"vector": [-each for each in point.vector]})),
    ):
        vectordb.upsert(ALIAS, [changed], wait=True)
        try:
            other = taken(run_script(VECTORS, "--full", "--no-prune"))
        finally:
            vectordb.upsert(ALIAS, [point], wait=True)
        others.append(other)
        with backups.edited(sound, _swapped(backups, sound, other), sealed=True):
            ran = run_script(VERIFY, "--backup", sound, "--no-record")
        evidence.require(
            f"a backup with one other {part} and right checksums is found out",
            ran.exit_code == 1 and "restores to something else" in ran.stderr,
            expected="exit code 1: it restores to something else",
            actual=ran.told,
        )
    left = sorted(each.name for each in vectordb.get_collections().collections)
    evidence.require(
        "the scratch place is gone again", left == before, expected=before, actual=left
    )
    backups.forget(*others)


def _point(vectordb: QdrantClient, document: str) -> models.PointStruct:
    """Return the one point of a document, whole."""
    named = models.FieldCondition(key="document_id", match=models.MatchValue(value=document))
    points, _ = vectordb.scroll(
        ALIAS, scroll_filter=models.Filter(must=[named]), with_vectors=True, limit=1
    )
    return models.PointStruct(id=points[0].id, vector=points[0].vector, payload=points[0].payload)


def _swapped(backups: Backups, sound: str, other: str) -> dict[str, Any]:
    """Return changes to a manifest that have it name the snapshots of another backup, with their
    right checksums, as what it says it is."""
    document, foreign = backups.manifest(sound), backups.manifest(other)
    objects = {each["name"]: each["object"] for each in foreign["collections"]}
    collections = copy.deepcopy(document["collections"])
    for each in collections:
        each["object"] = objects[each["name"]]
    return {"collections": collections, "objects": [each["object"] for each in collections]}
