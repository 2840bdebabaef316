"""Comparing two contents by digest, and naming the points that differ without a full dump."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.checks.collection import Collection, PointId
from harness.checks.digest import (
    Digest,
    Fingerprint,
    bucket_of,
    canonical_id,
    check_algorithm,
    fingerprint,
    read_ledger,
)
from harness.checks.result import CheckResult
from harness.core.verdicts import Verdict

Source = Collection | Path
"""Where fingerprints come from: the live collection, or the ledger of one that may be gone."""

REPORT_LIMIT = 1000
_GROUP_POINTS = 50_000
_RETRIEVE = 256


@dataclass(frozen=True, slots=True)
class Changed:
    """A point that both sides hold; ``parts`` names what differs.

    Parts: ``payload``, ``vector`` (the unnamed one), ``vector:<name>``.
    """

    id: PointId
    tenant: str
    parts: list[str]


@dataclass(slots=True)
class Difference:
    """How content ``after`` differs from ``before``, by point.

    ``complete`` is false when the search stopped at its limit, so that there may be more.
    """

    missing: list[PointId] = field(default_factory=list)
    extra: list[PointId] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    complete: bool = True

    def __len__(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.changed)

    def as_json(self, examples: int = 20) -> dict[str, Any]:
        """Return counts and at most ``examples`` of each kind."""
        return {
            "missing": len(self.missing),
            "extra": len(self.extra),
            "changed": len(self.changed),
            "complete": self.complete,
            "missing_ids": self.missing[:examples],
            "extra_ids": self.extra[:examples],
            "changed_points": [
                {"id": item.id, "tenant": item.tenant, "parts": item.parts}
                for item in self.changed[:examples]
            ],
        }


def differing_buckets(before: Digest, after: Digest) -> list[int]:
    """Return the id buckets in which two digests differ, in order."""
    check_algorithm(before)
    check_algorithm(after)
    everything = sorted(set(before.buckets) | set(after.buckets))
    return [b for b in everything if before.buckets.get(b) != after.buckets.get(b)]


def differing_tenants(before: Digest, after: Digest) -> list[str]:
    """Return the tenants whose content differs, in order."""
    everything = sorted(set(before.tenants) | set(after.tenants))
    return [t for t in everything if before.tenants.get(t) != after.tenants.get(t)]


def narrow(
    before: Digest,
    after: Digest,
    source_before: Source,
    source_after: Source,
    *,
    limit: int = REPORT_LIMIT,
) -> Difference:
    """Name the points by which two digests differ.

    Only ids are scrolled again; vectors and payloads are fetched of differing buckets alone.
    Buckets are taken in groups of about 50,000 points, so memory stays bounded however much
    differs, and the search ends once ``limit`` points are named.
    """
    difference = Difference()
    for group in _groups(differing_buckets(before, after), before, after):
        if len(difference) >= limit:
            difference.complete = False
            break
        _compare_group(group, source_before, source_after, difference)
    return difference


def content_verdict(
    before: Digest, after: Digest, difference: Difference | None = None, *, what: str = "content"
) -> CheckResult:
    """Judge that two contents are the same. Two empty ones show nothing: inconclusive."""
    buckets = differing_buckets(before, after)
    tenants = differing_tenants(before, after)
    same = not buckets and not tenants and before.count == after.count
    verdict = Verdict.PASS if same else Verdict.FAIL
    details: dict[str, Any] = {
        "before": {"collection": before.collection, "count": before.count, "total": before.total},
        "after": {"collection": after.collection, "count": after.count, "total": after.total},
        "differing_buckets": len(buckets),
        "differing_tenants": tenants[:50],
    }
    if same and not before.count:
        verdict = Verdict.INCONCLUSIVE
        details["reason"] = "both are empty, so nothing was compared"
    if difference is not None:
        details["difference"] = difference.as_json()
    return CheckResult(
        verdict,
        what,
        expected=f"{before.count} points, {before.total[:16]}",
        actual=f"{after.count} points, {after.total[:16]}",
        details=details,
    )


def _groups(buckets: list[int], before: Digest, after: Digest) -> Iterator[set[int]]:
    group: set[int] = set()
    size = 0
    for bucket in buckets:
        group.add(bucket)
        size += max(d.buckets[bucket].count for d in (before, after) if bucket in d.buckets)
        if size >= _GROUP_POINTS:
            yield group
            group, size = set(), 0
    if group:
        yield group


def _compare_group(
    group: set[int], source_before: Source, source_after: Source, difference: Difference
) -> None:
    first = {canonical_id(own.id): own for own in fingerprints(source_before, group)}
    for own in fingerprints(source_after, group):
        other = first.pop(canonical_id(own.id), None)
        if other is None:
            difference.extra.append(own.id)
        elif parts := _differing_parts(other, own):
            difference.changed.append(Changed(own.id, own.tenant, parts))
    difference.missing.extend(own.id for own in first.values())


def _differing_parts(one: Fingerprint, other: Fingerprint) -> list[str]:
    parts = ["payload"] if one.payload != other.payload else []
    for name in sorted(set(one.vectors) | set(other.vectors)):
        if one.vectors.get(name) != other.vectors.get(name):
            parts.append(f"vector:{name}" if name else "vector")
    return parts


def fingerprints(source: Source, buckets: set[int]) -> Iterator[Fingerprint]:
    """Yield the fingerprints of the points in these buckets."""
    if isinstance(source, Path):
        yield from (o for o in read_ledger(source) if bucket_of(canonical_id(o.id)) in buckets)
        return
    for ids in _batches(_ids(source, buckets), _RETRIEVE):
        for point in source.points(ids):
            yield fingerprint(point)


def _ids(collection: Collection, buckets: set[int]) -> Iterator[PointId]:
    for points in collection.scroll(vectors=False, payload=False, page=4096):
        for point in points:
            if bucket_of(canonical_id(point["id"])) in buckets:
                yield point["id"]


def _batches(ids: Iterable[PointId], size: int) -> Iterator[list[PointId]]:
    batch: list[PointId] = []
    for point_id in ids:
        batch.append(point_id)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
