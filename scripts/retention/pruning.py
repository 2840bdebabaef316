"""The removal: from the metadata store first, then from the vector store, as the gateway deletes.

A row in the metadata store is the truth. One transaction takes the rows away and lists their
points in ``rag.vector_cleanup``; then the points go from every model's collection; then the list's
entries. Whatever is interrupted in between is listed, and the next run or any gateway ends it.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from harness.core.errors import TargetError
from scripts.dayops.script import Log
from scripts.leakage.claims import VectorStore, with_ids
from scripts.retention.plan import BATCH, Due, Metadata, PlanDigest
from scripts.retention.policy import Policy

AT_ONCE = 200
GONE_S = 30.0
_REMOVE = """
    WITH old AS (
        DELETE FROM public.chunks
        WHERE (tenant_id, document_id) IN (SELECT * FROM unnest(%(t)s::text[], %(d)s::text[]))
        RETURNING tenant_id, document_id, persona, position, point_id)
    INSERT INTO rag.vector_cleanup
        (cleanup_id, tenant_id, document_id, persona, reason, point_ids, not_before)
    SELECT gen_random_uuid(), tenant_id, document_id, persona, 'deleted',
           array_agg(point_id ORDER BY position), now()
    FROM old GROUP BY tenant_id, document_id, persona
    RETURNING cleanup_id, tenant_id, document_id, point_ids
"""
_LEFT_OVER = """
    SELECT cleanup_id, tenant_id, point_ids FROM rag.vector_cleanup
    WHERE reason = 'deleted' AND not_before <= now()
    ORDER BY not_before LIMIT %s FOR UPDATE SKIP LOCKED
"""


class Vectors:
    """Every model's collection behind the gateway's alias, those of former models included."""

    def __init__(self, store: VectorStore, alias: str) -> None:
        self._store, self._alias = store, alias

    def collections(self) -> list[str]:
        """Return their names. Raises TargetError where there is none: nothing could be removed."""
        found = [name for name in self._store.collections() if name.startswith(f"{self._alias}-")]
        if not found:
            raise TargetError(
                "The vector store has no collection of the gateway's.",
                expected=f"{self._alias}-<model>",
                actual="none",
                next_step="check QDRANT_URL and QDRANT_ALIAS: are both stores of one deployment?",
            )
        return found

    def remove(self, points: dict[str, list[str]]) -> None:
        """Remove points, by tenant, and look that they are gone. Raises TargetError."""
        for name in self.collections():
            for tenant, ids in points.items():
                # A point of this id that has become another tenant's stays.
                own = {"key": "tenant_id", "match": {"value": tenant}}
                self._store.delete(name, {"must": [{"has_id": ids}, own]})
                self._look(name, tenant, ids)

    def _look(self, name: str, tenant: str, ids: Sequence[str]) -> None:
        give_up = time.monotonic() + GONE_S
        while True:
            with self._store.open(name) as collection:
                left = [
                    point["id"]
                    for point in with_ids(collection, ids)
                    if (point.get("payload") or {}).get("tenant_id") == tenant
                ]
            if not left:
                return
            if time.monotonic() > give_up:
                raise TargetError(
                    f"The vector store of {name} still shows points that were deleted.",
                    expected="none",
                    actual=f"{len(left)}, such as {left[0]}",
                    next_step="run it again; if they stay, look at the store's log",
                )
            time.sleep(0.2)

    def undated(self, policy: Policy, most: int) -> dict[str, list[str]]:
        """Return hot points without a date, at most so many a collection: those are never pruned.

        Their age is told by the metadata store alone; a person has to look at them.
        """
        where: dict[str, Any] = {
            "must": [
                {"key": "tier", "match": {"value": "hot"}},
                {"is_empty": {"key": "ingested_at"}},
            ]
        }
        if policy.only:
            where["must"].append({"key": "tenant_id", "match": {"any": list(policy.only)}})
        found: dict[str, list[str]] = {}
        for name in self.collections():
            with self._store.open(name) as collection:
                for page in collection.scroll(vectors=False, payload=False, where=where):
                    found.setdefault(name, []).extend(str(point["id"]) for point in page)
                    if len(found[name]) >= most:
                        break
        return {name: ids[:most] for name, ids in found.items() if ids}


class Record:
    """The file of what was removed: a line a document, on disk before the removal is committed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: BinaryIO = path.open("ab")

    def keep(self, due: Iterable[Due]) -> None:
        """Append lines, durably.

        Those of a transaction that was not committed in the end are taken off by
        :func:`reconcile`: whether it was, the database alone can tell.
        """
        self._file.writelines(each.as_line() for each in due)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def digest(self) -> PlanDigest:
        """Return the sum over all lines, those of an interrupted run before included."""
        found = PlanDigest()
        with self.path.open("rb") as file:
            for line in file:
                found.add(line)
        return found


class Pruning:
    """Removes what is due, batch by batch; can be interrupted at any moment and run again."""

    def __init__(
        self, metadata: Metadata, vectors: Vectors, record: Record, log: Log, batch: int = AT_ONCE
    ) -> None:
        self._metadata, self._vectors, self._record = metadata, vectors, record
        self._log, self._batch = log, batch

    def run(self, policy: Policy, due: int) -> int:
        """Remove; returns the number of documents. ``due`` is how many were counted before.

        Raises:
            TargetError: a store fails; what was removed up to then is on record and listed.
        """
        done = 0
        while batch := self._rows(policy):
            points: dict[str, list[str]] = {}
            for each in batch:
                points.setdefault(each.tenant, []).extend(each.points)
            self._vectors.remove({tenant: ids for tenant, ids in points.items() if ids})
            self._forget(batch)
            done += len(batch)
            self._log.event(
                "pruned_batch",
                documents=len(batch),
                points=sum(len(each.points) for each in batch),
                done=done,
                of=max(due, done),
            )
            self._log.progress(f"{done:,} of {max(due, done):,} documents removed")
        return done

    def _rows(self, policy: Policy) -> list[Due]:
        """Take the next batch out of the metadata store, listed for the vector store."""
        connection = self._metadata.connection
        with self._metadata.guard(), connection.transaction():
            parameters = {**policy.parameters(), "most": self._batch}
            rows = connection.execute(BATCH, parameters).fetchall()
            if not rows:
                return []
            names = {
                "t": [row["tenant_id"] for row in rows],
                "d": [row["document_id"] for row in rows],
            }
            listed = connection.execute(_REMOVE, names).fetchall()
            points: dict[tuple[str, str], list[uuid.UUID]] = {}
            for entry in listed:
                key = (entry["tenant_id"], entry["document_id"])
                points.setdefault(key, []).extend(entry["point_ids"])
            batch = [
                Due.of(row, points.get((row["tenant_id"], row["document_id"]), [])) for row in rows
            ]
            connection.execute(
                "DELETE FROM public.documents WHERE (tenant_id, document_id) IN"
                " (SELECT * FROM unnest(%(t)s::text[], %(d)s::text[]))",
                names,
            )
            self._record.keep(batch)
        return batch

    def _forget(self, batch: Sequence[Due]) -> None:
        with self._metadata.guard():
            self._metadata.connection.execute(
                "DELETE FROM rag.vector_cleanup WHERE reason = 'deleted'"
                " AND (tenant_id, document_id) IN"
                " (SELECT * FROM unnest(%s::text[], %s::text[]))"
                " AND point_ids <@ %s::uuid[]",
                (
                    [each.tenant for each in batch],
                    [each.document for each in batch],
                    [point for each in batch for point in each.points],
                ),
            )

    def work_off(self) -> int:
        """Remove points that an interrupted deletion left listed; returns the entries."""
        ended = 0
        while True:
            connection = self._metadata.connection
            with self._metadata.guard(), connection.transaction():
                rows = connection.execute(_LEFT_OVER, (self._batch,)).fetchall()
                if not rows:
                    return ended
                points: dict[str, list[str]] = {}
                for row in rows:
                    ids = points.setdefault(row["tenant_id"], [])
                    ids.extend(str(point) for point in row["point_ids"])
                self._vectors.remove(points)
                connection.execute(
                    "DELETE FROM rag.vector_cleanup WHERE cleanup_id = ANY (%s)",
                    ([row["cleanup_id"] for row in rows],),
                )
            ended += len(rows)


def reconcile(path: Path, metadata: Metadata) -> int:
    """Take lines off a former run's record whose documents are still there; returns how many.

    A run that was killed between its record and its commit left them.
    """
    if not path.exists():
        return 0
    partial = path.with_name(f".{path.name}.partial")
    dropped = 0
    with path.open("rb") as old, partial.open("wb") as new:
        while lines := [line for _, line in zip(range(500), old, strict=False)]:
            whole = [line for line in lines if line.endswith(b"\n")]
            there = _still_there(whole, metadata)
            kept = [line for line in whole if line not in there]
            dropped += len(lines) - len(kept)
            new.writelines(kept)
        new.flush()
        os.fsync(new.fileno())
    partial.replace(path)
    return dropped


def _still_there(lines: Sequence[bytes], metadata: Metadata) -> set[bytes]:
    told = [json.loads(line) for line in lines]
    with metadata.guard():
        rows = metadata.connection.execute(
            "SELECT d.tenant_id, d.document_id, d.version::text AS version FROM public.documents d"
            " JOIN unnest(%s::text[], %s::text[], %s::uuid[])"
            " AS held (tenant_id, document_id, version)"
            " USING (tenant_id, document_id, version)",
            (
                [each["tenant"] for each in told],
                [each["document"] for each in told],
                [each["version"] for each in told],
            ),
        ).fetchall()
    there = {(row["tenant_id"], row["document_id"], row["version"]) for row in rows}
    return {
        line
        for line, each in zip(lines, told, strict=True)
        if (each["tenant"], each["document"], each["version"]) in there
    }
