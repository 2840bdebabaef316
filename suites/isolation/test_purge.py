"""isolation/purge: the purge removes what leaked, and nothing else, however often it is tried."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from qdrant_client import QdrantClient, models

from fixtures.canaries import Canaries
from fixtures.leaks import LeakField, PointId, found_by
from fixtures.observed import wait_until_cleaned_up
from fixtures.scripts import RunScript, StartScript
from harness import conformance, needs
from harness.checks.collection import Collection
from harness.checks.digest import Digest, digest
from harness.core.evidence import Evidence
from harness.drivers.base import Stack

LEAKS = 60
CLEAN, LEAK = 0, 1


def audited(run_script: RunScript, out: Path, collections: str, evidence: Evidence) -> None:
    """Audit, and require that there is something to purge."""
    ran = run_script("leakage_audit.py", "--out", str(out), "--collections", collections)
    evidence.require(
        "the audit finds the leak", ran.exit_code == LEAK, expected=LEAK, actual=ran.told
    )


def same(then: Digest, now: Digest) -> bool:
    """Whether two digests show the same content."""
    return (then.count, then.total) == (now.count, now.total)


def compare(
    evidence: Evidence, field: LeakField, before: set[PointId], rest: Digest, gone: set[PointId]
) -> None:
    """Require that exactly ``gone`` has left the field, by id and by content of the rest."""
    there = field.ids()
    evidence.require(
        "every leaked point is gone",
        not there & gone,
        expected="none",
        actual=f"{len(there & gone)} of {len(gone)} still there",
    )
    lost = before - gone - there
    evidence.require(
        "no other point is gone",
        not lost,
        expected=f"{len(before - gone)} points",
        actual=f"{len(lost)} more are gone, such as {sorted(map(str, lost))[:3]}"
        if lost
        else f"{len(there)} points",
    )
    left = field.digest()
    evidence.require(
        "what is left has the content that it had",
        same(rest, left),
        expected=f"{rest.count} points, {rest.total[:16]}",
        actual=f"{left.count} points, {left.total[:16]}",
    )


@conformance("isolation/purge", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "metadata"])
def test_exactly_the_leaked_points_are_removed(
    leak_field: LeakField, run_script: RunScript, tmp_path: Path, evidence: Evidence
) -> None:
    """The purge MUST remove every leaked point that the audit found and no other, through the
    API's delete by filter and ids, and leave the content of the rest as it was; run again, it
    MUST change nothing. What was put right since the audit MUST stay."""
    planted = leak_field.plant(LEAKS)
    audited(run_script, tmp_path, leak_field.collection, evidence)
    found = found_by(tmp_path)
    mended = next(p for p, kind in planted.items() if kind == "misplaced")
    leak_field.repair(mended)
    gone = set(planted) - {mended}
    before, rest = leak_field.ids(), leak_field.digest(without=list(gone))
    ran = run_script("leakage_purge.py", "--findings", str(tmp_path))
    compare(evidence, leak_field, before, rest, gone)
    evidence.require(
        "the purge says that nothing leaked is left",
        ran.exit_code == CLEAN,
        expected=CLEAN,
        actual=ran.told,
    )
    _honest(evidence, tmp_path, {p: found[p] for p in gone}, spared=1)
    again = run_script("leakage_purge.py", "--findings", str(tmp_path))
    evidence.require(
        "a second purge finds nothing to do and changes nothing",
        again.exit_code == CLEAN
        and again.event("purged").get("removed") == 0
        and same(rest, leak_field.digest()),
        expected="exit code 0, nothing removed, the same content",
        actual=again.told,
    )


@conformance("isolation/purge", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "metadata"])
def test_a_dry_run_names_them_and_changes_nothing(
    leak_field: LeakField, run_script: RunScript, tmp_path: Path, evidence: Evidence
) -> None:
    """A dry run of the purge MUST name exactly what a real run would remove, and change
    nothing."""
    planted = leak_field.plant(LEAKS)
    audited(run_script, tmp_path, leak_field.collection, evidence)
    whole = leak_field.digest()
    ran = run_script("leakage_purge.py", "--findings", str(tmp_path), "--dry-run")
    left = leak_field.digest()
    evidence.require(
        "nothing is changed",
        same(whole, left),
        expected=f"{whole.count} points, {whole.total[:16]}",
        actual=f"{left.count} points, {left.total[:16]}",
    )
    named = _points(tmp_path / "dry-run-removed.jsonl")
    evidence.require(
        "it names exactly the leaked points",
        set(named) == set(planted) and ran.exit_code == LEAK,
        expected=f"{len(planted)} points and exit code {LEAK}",
        actual=f"{len(named)}, {len(set(named) ^ set(planted))} of them wrong; {ran.told}",
    )


@conformance("isolation/purge", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "metadata"])
def test_an_interrupted_purge_is_finished_by_the_next(
    leak_field: LeakField,
    run_script: RunScript,
    start_script: StartScript,
    tmp_path: Path,
    evidence: Evidence,
) -> None:
    """A purge that is killed midway MUST be finished by running it again, with every removed point
    on record and the rest as it was."""
    planted = leak_field.plant(600)
    before, rest = leak_field.ids(), leak_field.digest(without=list(planted))
    audited(run_script, tmp_path, leak_field.collection, evidence)
    running = start_script("leakage_purge.py", "--findings", str(tmp_path))
    running.wait_for_event("purged_batch")
    running.kill(signal.SIGKILL)
    killed = running.finish(30)
    left = len(leak_field.ids() & set(planted))
    evidence.require(
        "it was killed with work done, and work left to do",
        killed.exit_code == -signal.SIGKILL and 0 < left < len(planted),
        expected=f"some of {len(planted)} left",
        actual=f"{left} left; {killed.told}",
    )
    ran = run_script("leakage_purge.py", "--findings", str(tmp_path))
    evidence.require(
        "the second run ends clean", ran.exit_code == CLEAN, expected=CLEAN, actual=ran.told
    )
    compare(evidence, leak_field, before, rest, set(planted))
    recorded = set(_points(tmp_path / "removed.jsonl"))
    evidence.require(
        "the record names every removed point, those of the killed run too",
        recorded == set(planted),
        expected=f"{len(planted)} points",
        actual=f"{len(recorded)} points, {len(recorded ^ set(planted))} wrong",
    )


@conformance("playbook/leakage", since="0.2")
@needs("read", "write", "destroy", roles=["edge", "vectordb", "metadata"])
def test_audit_and_purge_end_the_leak_in_every_collection(
    stack: Stack,
    vectordb: QdrantClient,
    canaries: Canaries,
    run_script: RunScript,
    tmp_path: Path,
    evidence: Evidence,
) -> None:
    """Points that leaked beside documents written through the gateway MUST be found and purged in
    every collection, with every own document still answered as before and a record that says what
    was done; an audit without the purge MUST stay red."""
    hunter, quarry = canaries.pair()
    stolen = _points_of(vectordb, quarry.id)
    evidence.require(
        "the gateway's documents have points to steal",
        len(stolen) == len(canaries.of(quarry.id)),
        expected=f"a point for each of {len(canaries.of(quarry.id))} documents",
        actual=len(stolen),
    )
    clean = run_script("leakage_audit.py", "--out", str(tmp_path / "before"))
    if clean.exit_code != CLEAN:
        evidence.inconclusive(
            "the stores disagree before anything is planted, so leaks can't be told apart",
            actual=clean.told,
        )
    with psycopg.connect(stack.credentials("metadata")["admin_dsn"], autocommit=True) as database:
        if not wait_until_cleaned_up(database):
            evidence.inconclusive(
                "points of documents that others deleted are still being removed",
                actual="rag.vector_cleanup is not empty",
            )
    before = _contents(stack, vectordb)
    answers = _answers(canaries)
    number = 1
    for name in before:
        size = vectordb.get_collection(name).config.params.vectors.size  # type: ignore[union-attr]
        copies = [
            models.PointStruct(
                id=number + at,
                vector=[1.0 / (1 + at + i) for i in range(size)],
                payload={**payload, "tenant_id": hunter.id},
            )
            for at, payload in enumerate(stolen)
        ]
        vectordb.upsert(name, copies, wait=True)
    alert = run_script("leakage_audit.py", "--out", str(tmp_path))
    found = {(each["collection"], each["point_id"]) for each in _lines(tmp_path / "leaks.jsonl")}
    wanted = {(name, number + at) for name in before for at in range(len(stolen))}
    evidence.require(
        f"the leak is found in each of {len(before)} collections, and nothing else is",
        found == wanted and alert.exit_code == LEAK,
        expected=f"{len(wanted)} points",
        actual=f"{len(found)} points, {len(found ^ wanted)} of them wrong; {alert.told}",
    )
    control = run_script("leakage_audit.py", "--out", str(tmp_path / "control"))
    evidence.require(
        "without the purge the audit stays red",
        control.exit_code == LEAK,
        expected=LEAK,
        actual=control.told,
    )
    ran = run_script("leakage_purge.py", "--findings", str(tmp_path), "--digest")
    after = _contents(stack, vectordb)
    evidence.require(
        "no leaked point is left, and each collection holds what it held",
        after == before,
        expected=before,
        actual=after if ran.exit_code == CLEAN else ran.told,
    )
    evidence.require(
        "the purge ends clean", ran.exit_code == CLEAN, expected=CLEAN, actual=ran.told
    )
    evidence.require(
        "every own document is answered as before",
        _answers(canaries) == answers,
        expected=f"{len(answers)} answers unchanged",
        actual=_answers(canaries),
    )
    _honest(evidence, tmp_path, {p: {} for _, p in wanted}, spared=0, total=len(wanted))


def _honest(
    evidence: Evidence,
    directory: Path,
    gone: Mapping[PointId, Mapping[str, Any]],
    *,
    spared: int,
    total: int | None = None,
) -> None:
    """Require that the record says what happened: each removed point, and what is left to do."""
    record = json.loads((directory / "purge.json").read_text(encoding="utf-8"))
    evidence.require(
        "the record counts what was removed and what was spared",
        (sum(record["removed"].values()), record["spared"], record["leaks_afterwards"])
        == (len(gone) if total is None else total, spared, 0),
        expected=f"{len(gone) if total is None else total} removed, {spared} spared, none left",
        actual=record,
    )
    named = _points(directory / "removed.jsonl")
    evidence.require(
        "the record names each removed point",
        set(named) == set(gone),
        expected=f"{len(gone)} points",
        actual=f"{len(set(named))} points, {len(set(named) ^ set(gone))} wrong",
    )
    bereft = {
        (each["owner_tenant"], each["owner_document"])
        for each in gone.values()
        if each.get("kind") == "misplaced"
    }
    listed = {tuple(each) for each in record["documents_to_embed_again"]}
    evidence.require(
        "it lists the documents that have lost a point of their own",
        listed == bereft,
        expected=f"{len(bereft)} documents",
        actual=f"{len(listed)} documents",
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _points(path: Path) -> list[PointId]:
    return [each["point_id"] for each in _lines(path)] if path.exists() else []


def _collections(vectordb: QdrantClient) -> list[str]:
    return [each.name for each in vectordb.get_collections().collections]


def _contents(stack: Stack, vectordb: QdrantClient) -> dict[str, str]:
    """What each collection holds, as a number of points and a digest."""
    url, key = stack.endpoint("vectordb").url, stack.credentials("vectordb")["api_key"]
    held = {}
    for name in _collections(vectordb):
        with Collection(url, name, api_key=key) as collection:
            content = digest(collection)
        held[name] = f"{content.count} points, {content.total[:16]}"
    return held


def _points_of(vectordb: QdrantClient, tenant: str) -> Sequence[dict[str, Any]]:
    match = models.FieldCondition(key="tenant_id", match=models.MatchValue(value=tenant))
    for name in _collections(vectordb):
        found, _ = vectordb.scroll(name, scroll_filter=models.Filter(must=[match]), limit=100)
        if found:
            return [dict(point.payload or {}) for point in found]
    return []


def _answers(canaries: Canaries) -> dict[str, list[str]]:
    """What each document's own words find, as its tenant and persona."""
    answers = {}
    for canary in canaries.documents:
        gateway = canaries.gateways[canary.tenant]
        answer = gateway.query(canary.text, canary.persona, top_k=10).expect(200)
        key = f"{canary.tenant}/{canary.document_id}"
        answers[key] = [row["document_id"] for row in answer.json["results"]]
    return answers
