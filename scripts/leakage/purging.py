"""The purge: exactly the leaked points, by the API's delete with ids and their claims."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

from harness.checks.digest import digest
from harness.core.errors import TargetError
from scripts.leakage.auditing import Progress
from scripts.leakage.claims import FIELDS, Point, VectorStore, claim_of, with_ids
from scripts.leakage.findings import KINDS, Finding, as_line, read_findings
from scripts.leakage.ownership import Ownership
from scripts.leakage.telling import step

BATCH = 256
REMOVED_FILE = "removed.jsonl"
SHARE, FEW = 0.5, 100
"""More than this share of a collection's points is refused, unless it is few or the number named:
whoever compares with the wrong database finds that nearly everything leaked."""


@dataclass
class Outcome:
    """What a purge did, or with ``dry_run`` would do.

    ``removed`` counts by kind, ``gone`` what was not there any more, ``spared`` what is no leak
    any more, ``recorded`` the points on the record, of earlier runs too. ``to_embed`` holds tenant
    and document of the chunks whose own point was a leaked one.
    """

    dry_run: bool
    removed: Counter[str] = field(default_factory=Counter)
    gone: int = 0
    spared: int = 0
    by_collection: Counter[str] = field(default_factory=Counter)
    to_embed: set[tuple[str, str]] = field(default_factory=set)
    recorded: int = 0
    rest: dict[str, dict[str, Any]] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    ended: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.removed.values())


class Purge:
    """Removes what an audit found, batch by batch; each batch is judged again before it goes.

    It can be interrupted at any moment and run again: each removal is on record before it is
    asked for, and what is gone already is no error.
    """

    def __init__(
        self,
        store: VectorStore,
        ownership: Ownership,
        record: Path,
        *,
        dry_run: bool,
        progress: Progress = lambda _text: None,
    ) -> None:
        self._store, self._ownership = store, ownership
        self._record, self._progress = record, progress
        self.outcome = Outcome(dry_run)

    def run(
        self, findings: Callable[[], Iterable[Finding]], *, most: int | None, with_digest: bool
    ) -> Outcome:
        """Remove the findings, which are read two or three times.

        Raises:
            TargetError: a store fails, a point is still there after its deletion, more would go
                than ``most`` allows, or the digest of the rest differs.
        """
        counts = Counter(finding.collection for finding in findings())
        there = self._store.collections()
        for name in [each for each in counts if each not in there]:
            # Deleted since the audit: all of its points are gone, the leaked ones among them.
            step("collection_gone", collection=name, findings=counts[name])
            self.outcome.gone += counts.pop(name)
        self._refuse_too_many(counts, most)
        leaked = {name: _ids(findings(), name) for name in counts} if with_digest else {}
        before = self._digests(leaked)
        self._record.parent.mkdir(parents=True, exist_ok=True)
        done = 0
        # What a dry run names is of that run alone; removals add up over interrupted runs.
        with self._record.open("wb" if self.outcome.dry_run else "ab") as file:
            kept = (each for each in findings() if each.collection in counts)
            for name, group in groupby(kept, key=lambda each: each.collection):
                for batch in _batches(group, BATCH):
                    self._batch(name, batch, file)
                    done += len(batch)
                    step("purged_batch", collection=name, findings=len(batch), done=done)
                    self._progress(f"{done:,} of {sum(counts.values()):,} findings")
        self._compare(before, self._digests(leaked))
        self.outcome.recorded = len(
            {(e.collection, e.point_id) for e in read_findings(self._record)}
        )
        self.outcome.ended = time.time()
        return self.outcome

    def _refuse_too_many(self, counts: Counter[str], most: int | None) -> None:
        for name, count in counts.items():
            with self._store.open(name) as collection:
                there = collection.count()
            allowed = max(int(there * SHARE), FEW) if most is None else most
            if count > allowed:
                raise TargetError(
                    f"The purge would take {count:,} of {there:,} points of {name}.",
                    expected=f"at most {allowed:,}: a purge is for what leaked, not for a volume",
                    actual=f"{count:,} findings",
                    next_step="make sure that both stores are of one deployment; then --most N",
                )

    def _batch(self, name: str, batch: Sequence[Finding], file: BinaryIO) -> None:
        with self._store.open(name) as collection:
            points = with_ids(collection, [finding.point_id for finding in batch])
            judged = self._ownership.judge(name, points) if points else []
            leaked = [each for each in judged if each.kind in KINDS]
            self.outcome.gone += len(batch) - len(points)
            self.outcome.spared += len(judged) - len(leaked)
            if leaked and not self.outcome.dry_run:
                _keep(file, leaked)
                self._remove(name, leaked, points)
                left = with_ids(collection, [each.point_id for each in leaked])
                _refuse_left(name, points, left)
        for each in leaked:
            self.outcome.removed[each.kind] += 1
            self.outcome.by_collection[name] += 1
            if each.kind == "misplaced":
                self.outcome.to_embed.add((str(each.owner_tenant), str(each.owner_document)))
        if self.outcome.dry_run:
            _keep(file, leaked)

    def _remove(self, name: str, leaked: Sequence[Finding], points: Sequence[Point]) -> None:
        claims = {point["id"]: claim_of(point) for point in points}
        together: dict[str, list[Finding]] = {}
        for each in leaked:
            key = json.dumps(claims[each.point_id][:2])
            together.setdefault(key, []).append(each)
        for group in together.values():
            ids = [each.point_id for each in group]
            self._store.delete(name, removal_filter(ids, claims[ids[0]]))

    def _digests(self, leaked: dict[str, list[int | str]]) -> dict[str, Any]:
        found = {}
        for name, ids in leaked.items():
            # What is on the list is left out on both sides: what is spared may change meanwhile.
            where = {"must_not": [{"has_id": ids}]}
            with self._store.open(name) as collection:
                found[name] = digest(collection, where=where)
            self._progress(f"{name}: digest of {found[name].count:,} points")
        return found

    def _compare(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        for name, then in before.items():
            now = after[name]
            self.outcome.rest[name] = {
                "points_before": then.count,
                "points_after": now.count,
                "digest_before": then.total,
                "digest_after": now.total,
            }
            if (then.count, then.total) != (now.count, now.total):
                raise TargetError(
                    f"What the purge left of {name} is not what it was.",
                    expected=f"{then.count} points, {then.total[:16]}",
                    actual=f"{now.count} points, {now.total[:16]}",
                    next_step="if nobody wrote meanwhile, restore the collection from its backup",
                )


def removal_filter(ids: Sequence[int | str], claim: Sequence[Any]) -> dict[str, Any]:
    """Return the filter of a deletion: these points, and only while their namespace is this one.

    A point that is put right between the judgement and the deletion stays.
    """
    must: list[dict[str, Any]] = [{"has_id": list(ids)}]
    for key, value in zip(FIELDS[:2], claim[:2], strict=True):
        if value is None:
            must.append({"is_empty": {"key": key}})
        elif isinstance(value, str):
            must.append({"key": key, "match": {"value": value}})
    return {"must": must}


def _ids(findings: Iterable[Finding], collection: str) -> list[int | str]:
    return [each.point_id for each in findings if each.collection == collection]


def _batches(findings: Iterable[Finding], size: int) -> Iterator[list[Finding]]:
    source = iter(findings)
    while batch := list(islice(source, size)):
        yield batch


def _keep(file: BinaryIO, leaked: Sequence[Finding]) -> None:
    file.writelines(as_line(each) for each in leaked)
    file.flush()
    os.fsync(file.fileno())


def _refuse_left(name: str, then: Sequence[Point], left: Sequence[Point]) -> None:
    claims = {point["id"]: claim_of(point) for point in then}
    same = [point["id"] for point in left if claim_of(point) == claims[point["id"]]]
    if same:
        raise TargetError(
            f"The vector store of {name} still shows points that it said were deleted.",
            expected="none",
            actual=f"{len(same)}, such as {same[0]}",
            next_step="run the purge again; if they stay, look at the store's log",
        )
