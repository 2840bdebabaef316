"""backup/checksums, recovery/partial-backup: what is not whole or not meant here is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest

from fixtures.bucket import Backups, flipped, taken
from fixtures.holdings import Content
from fixtures.scripts import RunScript
from harness import conformance, needs
from harness.core.evidence import Evidence

VECTORS, METADATA = "backup_qdrant.sh", "backup_metadata.sh"


class Restores:
    """Tries to restore what may not be restored, over content that is another by now."""

    def __init__(self, run_script: RunScript, content: Content, evidence: Evidence) -> None:
        self._run_script, self._content, self._evidence = run_script, content, evidence
        self._before = (content.now(), content.aliases())

    def refused(self, what: str, store: str, run: str, *, because: str) -> None:
        """Require that a restore is refused for this reason and that nothing has changed."""
        ran = self._run_script(
            "restore_dr.sh",
            *("--date", run[:10], "--backup", run, "--store", store, "--writers-are-stopped"),
            env={"STOP_WRITERS_CMD": "", "START_WRITERS_CMD": "", "REINDEX_CMD": ""},
        )
        self._evidence.require(
            f"{what}: the restore is refused",
            ran.exit_code == 1,
            expected="exit code 1",
            actual=ran.told,
        )
        self._evidence.require(
            f"{what}: the refusal says why",
            re.search(because, ran.stderr) is not None,
            expected=because,
            actual=ran.told,
        )
        now = (self._content.now(), self._content.aliases())
        self._evidence.require(
            f"{what}: what was there stays",
            now == self._before,
            expected={name: each.count for name, (each, _) in self._before[0].items()},
            actual={name: each.count for name, (each, _) in now[0].items()},
        )


@conformance("backup/checksums", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "objectstore", "edge"])
def test_a_damaged_object_is_refused_and_nothing_changes(
    run_script: RunScript,
    backups: Backups,
    content: Content,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """A snapshot with one flipped bit, cut short, gone, or another collection's MUST be refused
    before a restore, and what was there MUST stay."""
    write_document()
    run = taken(run_script(VECTORS, "--full"))
    write_document()
    restores = Restores(run_script, content, evidence)
    keys = [each["key"] for each in backups.manifest(run)["objects"]]
    for key in keys[-1:]:
        whole = backups.read(key).data
        with backups.changed(key, flipped(whole)):
            restores.refused("one flipped bit", "vectordb", run, because="SHA-256")
            ran = run_script("verify_backup.sh", "--backup", run, "--no-record")
            evidence.require(
                "one flipped bit: the verification says so",
                ran.exit_code == 1,
                expected="exit code 1",
                actual=ran.told,
            )
        with backups.changed(key, whole[: len(whole) // 2]):
            restores.refused("cut short", "vectordb", run, because="size|SHA-256")
        with backups.changed(key, None):
            restores.refused("gone", "vectordb", run, because="missing")
    with backups.moved_in(keys[0], keys[-1]):
        restores.refused("swapped", "vectordb", run, because="size|SHA-256")


@conformance("backup/checksums", since="0.2", profiles=("full",))
@needs("read", "write", "destroy", roles=["vectordb", "metadata", "objectstore", "edge"])
@pytest.mark.timeout(600)
@pytest.mark.parametrize("store", ["vectordb", "metadata"])
def test_every_object_in_turn_is_refused_when_damaged(
    store: str,
    metadata: Callable[[], psycopg.Connection],
    run_script: RunScript,
    backups: Backups,
    content: Content,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """Each object of a backup, of either store, with one flipped bit, cut short, gone, or in the
    place of another, MUST be refused before a restore, and what was there MUST stay."""
    write_document()
    run = taken(run_script(VECTORS, "--full") if store == "vectordb" else run_script(METADATA))
    write_document()
    restores = Restores(run_script, content, evidence)
    rows = _documents(metadata)
    keys = [each["key"] for each in backups.manifest(run)["objects"]]
    evidence.require("there are objects to damage", len(keys) > 1, expected="> 1", actual=keys)
    for at, key in enumerate(keys):
        name, whole = key.rpartition("/")[2], backups.read(key).data
        with backups.changed(key, flipped(whole)):
            restores.refused(f"{name}: one flipped bit", store, run, because="SHA-256")
        with backups.changed(key, whole[: len(whole) // 2]):
            restores.refused(f"{name}: cut short", store, run, because="size|SHA-256")
        with backups.changed(key, None):
            restores.refused(f"{name}: gone", store, run, because="missing")
        with backups.moved_in(key, keys[at - 1]):
            restores.refused(f"{name}: another one", store, run, because="size|SHA-256")
    evidence.require(
        "the documents are as they were",
        _documents(metadata) == rows,
        expected=rows,
        actual=_documents(metadata),
    )


def _documents(metadata: Callable[[], psycopg.Connection]) -> tuple[Any, ...] | None:
    """Return how many documents there are and a sum over their texts."""
    with metadata() as connection:
        return connection.execute(
            "SELECT count(*), md5(string_agg(body, '' ORDER BY tenant_id, document_id))"
            " FROM public.documents"
        ).fetchone()


@conformance("recovery/partial-backup", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "objectstore", "edge"])
def test_what_is_no_backup_for_this_place_is_refused(
    run_script: RunScript,
    backups: Backups,
    content: Content,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """A backup that is unfinished, edited, foreign, newer than the server or not what it says MUST
    be refused with its reason, and what was there MUST stay."""
    write_document()
    run = taken(run_script(VECTORS, "--full"))
    document = backups.manifest(run)
    write_document()
    other = taken(run_script(VECTORS))
    restores = Restores(run_script, content, evidence)
    with backups.changed(f"{run}/manifest.json", None):
        restores.refused("unfinished", "vectordb", run, because="no manifest")
    with backups.edited(run, {"aliases": {}}, sealed=False):
        restores.refused("edited", "vectordb", run, because="not the one that was written")
    with backups.moved_in(f"{run}/manifest.json", f"{other}/manifest.json"):
        restores.refused("another backup's manifest", "vectordb", run, because="foreign")
    with backups.edited(run, {"format": "somebody-else-7"}, sealed=True):
        restores.refused("made by something else", "vectordb", run, because="foreign")
    server = document["server"]
    newer = {**server, "version": _later(server["version"])}
    with backups.edited(run, {"server": newer}, sealed=True):
        restores.refused("newer than the server", "vectordb", run, because="newer than the server")
    wrong = [_other_content(each) for each in document["collections"]]
    with backups.edited(run, {"collections": wrong}, sealed=True):
        restores.refused("not what it says", "vectordb", run, because="something else")


def _later(version: str) -> str:
    major, minor, *rest = version.split(".")
    return ".".join([major, str(int(minor) + 1), *rest])


def _other_content(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a manifest as it would be, had the snapshot lost a point on its way."""
    if not entry["count"]:
        return dict(entry)
    told = entry["digest"]
    bucket, part = next(iter(told["buckets"].items()))
    buckets = {**told["buckets"], bucket: {"count": part["count"] + 1, "total": "0" * 64}}
    changed = {**told, "count": told["count"] + 1, "total": "0" * 64, "buckets": buckets}
    return {**entry, "digest": changed, "count": entry["count"] + 1}
