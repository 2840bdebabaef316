"""Whether the metadata store and the vector store hold the same chunks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.checks.collection import Collection, PointId
from harness.checks.digest import canonical_id
from harness.checks.result import CheckResult
from harness.core.verdicts import Verdict

EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk and the point that stands for it."""

    tenant: str
    chunk: str
    point: PointId


@dataclass(slots=True)
class Agreement:
    """Chunks that only one store holds, or that the two hold under different names.

    ``without_point``: in the metadata store alone. ``without_row``: in the vector store alone.
    ``mislabelled``: (as the metadata store, as the vector store) for one point.
    ``duplicate_rows``: rows of the metadata store that name a point once more.
    """

    without_point: list[Chunk] = field(default_factory=list)
    without_row: list[Chunk] = field(default_factory=list)
    mislabelled: list[tuple[Chunk, Chunk]] = field(default_factory=list)
    duplicate_rows: list[Chunk] = field(default_factory=list)
    rows: int = 0
    points: int = 0

    def counts(self) -> dict[str, int]:
        """Return the number of findings by kind."""
        return {
            "without_point": len(self.without_point),
            "without_row": len(self.without_row),
            "mislabelled": len(self.mislabelled),
            "duplicate_rows": len(self.duplicate_rows),
        }


def compare_stores(rows: Iterable[tuple[str, str, PointId]], collection: Collection) -> Agreement:
    """Compare (tenant_id, chunk_id, point id) rows with the points of a collection.

    Memory: about 300 bytes a row of the metadata store; the vector store is streamed.
    """
    agreement = Agreement()
    known: dict[bytes, Chunk] = {}
    for tenant, name, point_id in rows:
        agreement.rows += 1
        own = Chunk(str(tenant), str(name), point_id)
        if known.setdefault(canonical_id(point_id), own) is not own:
            agreement.duplicate_rows.append(own)
    seen: set[bytes] = set()
    for points in collection.scroll(vectors=False, payload=["tenant_id", "chunk_id"], page=2048):
        for point in points:
            agreement.points += 1
            payload: dict[str, Any] = point.get("payload") or {}
            own = Chunk(
                str(payload.get("tenant_id", "")), str(payload.get("chunk_id", "")), point["id"]
            )
            canonical = canonical_id(point["id"])
            row = known.get(canonical)
            if row is None:
                agreement.without_row.append(own)
                continue
            seen.add(canonical)
            if (row.tenant, row.chunk) != (own.tenant, own.chunk):
                agreement.mislabelled.append((row, own))
    agreement.without_point = [own for key, own in known.items() if key not in seen]
    return agreement


def agreement_verdict(agreement: Agreement) -> CheckResult:
    """Judge that both stores hold the same chunks. Two empty stores show nothing."""
    counts = agreement.counts()
    verdict = Verdict.FAIL if any(counts.values()) else Verdict.PASS
    details: dict[str, Any] = {**counts, "rows": agreement.rows, "points": agreement.points}
    if verdict is Verdict.FAIL:
        details["examples"] = {
            "without_point": [_told(own) for own in agreement.without_point[:EXAMPLES]],
            "without_row": [_told(own) for own in agreement.without_row[:EXAMPLES]],
            "mislabelled": [
                [_told(row), _told(own)] for row, own in agreement.mislabelled[:EXAMPLES]
            ],
            "duplicate_rows": [_told(own) for own in agreement.duplicate_rows[:EXAMPLES]],
        }
    elif not agreement.rows:
        verdict = Verdict.INCONCLUSIVE
        details["reason"] = "both stores are empty, so nothing was compared"
    return CheckResult(
        verdict,
        "agreement of metadata and vector store",
        expected="each chunk in both stores",
        actual=", ".join(f"{count} {kind}" for kind, count in counts.items()),
        details=details,
    )


def _told(own: Chunk) -> dict[str, Any]:
    return {"tenant": own.tenant, "chunk": own.chunk, "point": own.point}
