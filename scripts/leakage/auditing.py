"""The audit: every point against its owner, by merging two streams in the order of the ids."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from harness.checks.collection import Collection
from harness.core.errors import HarnessError, TargetError
from scripts.leakage.claims import FIELDS, Point, VectorStore, claim_of, pages, with_ids
from scripts.leakage.findings import KINDS, Finding, RowFinding, as_line
from scripts.leakage.ownership import Owners, Ownership

BATCH = 10_000
"""Points that do not match at first sight, judged together."""

SHOWN = 500
"""Findings that are kept in memory for the page; all of them are in the file."""

ROUNDS = 3
"""Tries at reading a collection whole, and at catching a point that changes while it is judged."""

MOST_LISTS = 10
"""How often the list of collections is made anew before the audit gives up."""

Progress = Callable[[str], None]
_claim = itemgetter(*FIELDS)


@dataclass
class CollectionReport:
    """What the audit saw of one collection. ``seconds`` is the wall time of its pass."""

    name: str
    points: int = 0
    sound: int = 0
    pending: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    remark: str = ""

    @property
    def leaks(self) -> int:
        return sum(self.kinds.values())


@dataclass
class Report:
    """The whole audit. ``shown`` holds the first :data:`SHOWN` findings, ``deleted`` the names of
    collections that were there when it began and were deleted before they were read to the end."""

    collections: list[CollectionReport] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    chunks: int = 0
    rows: list[RowFinding] = field(default_factory=list)
    shown: list[Finding] = field(default_factory=list)
    namespaces: list[tuple[str, str, int, int]] = field(default_factory=list)
    began: float = 0.0
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(each.points for each in self.collections)

    @property
    def kinds(self) -> dict[str, int]:
        """The number of findings of each kind, over all collections."""
        return {kind: sum(each.kinds[kind] for each in self.collections) for kind in KINDS}

    @property
    def leaks(self) -> int:
        """Leaked points and contradicting rows."""
        return sum(self.kinds.values()) + len(self.rows)


def audit(
    store: VectorStore,
    ownership: Ownership,
    findings: Path,
    *,
    collections: str = "*",
    progress: Progress = lambda _text: None,
) -> Report:
    """Audit every collection whose name matches, and write each finding to the file ``findings``.

    Memory is bounded by a few pages of :data:`scripts.leakage.claims.PAGE` points.

    Raises:
        TargetError: the audit could not be done whole, so that nothing is shown.
    """
    report = Report(began=time.time(), chunks=ownership.chunks())
    clock = time.monotonic()
    with findings.open("wb") as file:
        sink = _Sink(file, report.shown)
        for _ in range(MOST_LISTS):
            waiting = _waiting(store, collections, report)
            for name in waiting:
                _audit_if_there(store, name, ownership, sink, progress, report)
            if not waiting:
                break
        else:
            raise TargetError(
                "Collections come and go faster than they can be read.",
                expected=f"a list of collections that is read to its end in {MOST_LISTS} rounds",
                actual=f"not read yet: {', '.join(_waiting(store, collections, report))}",
                next_step="run the audit again once the restore or rebuild under way is over",
            )
    if not report.collections:
        gone = f"; deleted meanwhile: {', '.join(report.deleted)}" if report.deleted else ""
        raise TargetError(
            "There is no collection to audit.",
            expected=f"a collection that matches {collections!r}",
            actual=(", ".join(store.collections()) or "no collection at all") + gone,
            next_step="check QDRANT_URL and --collections; a lost collection is not clean",
        )
    report.rows = ownership.rows()
    report.namespaces = ownership.namespaces()
    report.seconds = time.monotonic() - clock
    _refuse_nothing_compared(report)
    return report


def _waiting(store: VectorStore, pattern: str, report: Report) -> list[str]:
    """Return the collections that match and are not in the report yet, as they are listed now:
    what is being rebuilt or restored beside the old one has to be read as well."""
    done = {each.name for each in report.collections}
    return [n for n in store.collections() if fnmatchcase(n, pattern) and n not in done]


def _audit_if_there(
    store: VectorStore,
    name: str,
    ownership: Ownership,
    sink: _Sink,
    progress: Progress,
    report: Report,
) -> None:
    """Audit one collection; one that was deleted meanwhile is noted, with nothing found in it.

    Raises:
        HarnessError: it is there, and could not be read whole in :data:`ROUNDS` tries.
    """
    began = sink.mark()
    for attempt in range(1, ROUNDS + 1):
        try:
            with store.open(name) as collection:
                report.collections.append(_audit_one(collection, ownership, sink, progress))
            return
        except HarnessError as error:
            sink.back_to(began)
            if name not in store.collections():
                # Its points cannot leak any more. Whoever reads the report is told all the same.
                report.deleted.append(name)
                return
            # It may be there anew, as after a restore; what the audit itself refuses stays refused.
            if attempt == ROUNDS or isinstance(error, TargetError):
                raise


def _audit_one(
    collection: Collection, ownership: Ownership, sink: _Sink, progress: Progress
) -> CollectionReport:
    """Audit one collection, again if it was not seen whole.

    Raises:
        TargetError: nothing is being written, and still the store shows fewer points than it
            counts: whatever is not shown could be a leak.
    """
    for attempt in range(1, ROUNDS + 1):
        began = sink.mark()
        before = collection.count()
        one = _Pass(collection, ownership, sink, progress).run()
        after = collection.count()
        if one.points >= min(before, after):
            return one
        if attempt == ROUNDS and before != after:
            one.remark = f"{min(before, after) - one.points} points moved while it was read"
            return one
        sink.back_to(began)
    raise TargetError(
        f"The collection {collection.name} does not show all of its points.",
        expected=f"{after} points, as it counts them",
        actual=f"{one.points} in {ROUNDS} scrolls",
        next_step="look at the store's log, and run the audit again",
    )


class _Sink:
    """Where findings go: all into a file, the first of them into a list."""

    def __init__(self, file: BinaryIO, shown: list[Finding]) -> None:
        self._file, self._shown = file, shown

    def add(self, finding: Finding) -> None:
        self._file.write(as_line(finding))
        if len(self._shown) < SHOWN:
            self._shown.append(finding)

    def mark(self) -> tuple[int, int]:
        return self._file.tell(), len(self._shown)

    def back_to(self, mark: tuple[int, int]) -> None:
        """Forget what was added since ``mark``."""
        self._file.seek(mark[0])
        self._file.truncate()
        del self._shown[mark[1] :]


class _Pass:
    """One pass over one collection."""

    def __init__(
        self, collection: Collection, ownership: Ownership, sink: _Sink, progress: Progress
    ) -> None:
        self._collection, self._ownership = collection, ownership
        self._sink, self._progress = sink, progress
        self._report = CollectionReport(collection.name)

    def run(self) -> CollectionReport:
        clock = time.monotonic()
        owners = self._ownership.owners()
        strangers: list[Point] = []
        try:
            for page in pages(self._collection):
                found = _strangers(page, owners)
                self._report.points += len(page)
                self._report.sound += len(page) - len(found)
                strangers += found
                while len(strangers) >= BATCH:
                    self._settle(strangers[:BATCH])
                    del strangers[:BATCH]
                self._progress(f"{self._collection.name}: {self._report.points:,} points")
            self._settle(strangers)
        finally:
            owners.close()
        self._report.seconds = time.monotonic() - clock
        return self._report

    def _settle(self, points: list[Point]) -> None:
        """Count and keep what these points are, by what both stores hold now.

        Writes go on meanwhile. A point is read before the database is asked, so a write under way
        is announced there, and read again afterwards, so one that is being removed is gone.
        """
        for attempt in range(1, ROUNDS + 1):
            if not points:
                return
            judged = self._ownership.judge(self._collection.name, points)
            suspects = [each for each in judged if each.kind in KINDS]
            self._report.sound += sum(each.kind == "sound" for each in judged)
            self._report.pending += sum(each.kind == "pending" for each in judged)
            then = {point["id"]: claim_of(point) for point in points}
            ids = [each.point_id for each in suspects]
            now = {point["id"]: point for point in with_ids(self._collection, ids)} if ids else {}
            points = []
            for each in suspects:
                point = now.get(each.point_id)
                if point is None:
                    continue
                if claim_of(point) == then[each.point_id] or attempt == ROUNDS:
                    self._report.kinds[each.kind] += 1
                    self._sink.add(each)
                else:
                    points.append(point)


def _strangers(page: Sequence[Point], owners: Owners) -> list[Point]:
    """Return the points of a page that are not in all their claims what their owner says."""
    last = page[-1]["id"]
    # Chunks own points by UUID; numbers, which come first, have no owner.
    known = owners.up_to(last) if isinstance(last, str) else {}
    try:
        return [each for each in page if known.get(each["id"]) != _claim(each["payload"])]
    except (KeyError, TypeError):
        # Some payload lacks a field, or there is none: such a page takes twice the time.
        return [each for each in page if known.get(each["id"]) != claim_of(each)]


def _refuse_nothing_compared(report: Report) -> None:
    """Raise where the two stores have nothing to do with each other, because that shows nothing."""
    if report.chunks and not report.points:
        actual = f"{report.chunks} chunks, and no point in any collection"
    elif report.points and not report.chunks:
        actual = f"{report.points} points, and no chunk in the database"
    else:
        return
    raise TargetError(
        "The two stores have nothing in common, so nothing was compared.",
        expected="the vector store and the metadata store of one deployment",
        actual=actual,
        next_step="check QDRANT_URL against DATABASE_URL; after a loss, restore first",
    )
