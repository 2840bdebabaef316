"""How a collection stands after a restart: its state, and whether what it claims is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.checks.collection import Collection
from harness.checks.result import CheckResult
from harness.core.verdicts import Verdict

_SAMPLE = 64


@dataclass(frozen=True, slots=True)
class Standing:
    """One look at a collection.

    ``counted`` is the exact count; ``claimed`` the count that its state gives, which a server may
    estimate, so that it is told and not judged. ``without_vector`` of ``sampled`` points that were
    read had no vector: a state may be green while vectors are gone (qdrant/qdrant #5134).
    """

    collection: str
    status: str
    optimizer: str
    claimed: int
    counted: int
    sampled: int
    without_vector: int


def standing(collection: Collection) -> Standing:
    """Read how a collection stands. Raises HarnessError (see :class:`Collection`)."""
    info = collection.info()
    optimizer = info.get("optimizer_status", "unknown")
    points: list[dict[str, Any]] = next(collection.scroll(page=_SAMPLE), [])
    return Standing(
        collection=collection.name,
        status=str(info.get("status", "unknown")),
        optimizer=optimizer if isinstance(optimizer, str) else str(optimizer),
        claimed=int(info.get("points_count") or 0),
        counted=collection.count(),
        sampled=len(points),
        without_vector=sum(1 for point in points if not point.get("vector")),
    )


def standing_verdict(before: Standing, after: Standing) -> CheckResult:
    """Judge that a collection came back whole.

    Fail: the state is red, the optimizer reports an error, the exact count differs from before, or
    points came back without vectors. Inconclusive: it was empty. Yellow (the optimizer is at work)
    and grey (it waits for the next write) are no damage.
    """
    problems = []
    if after.status not in ("green", "yellow", "grey"):
        problems.append(f"its status is {after.status}")
    if after.optimizer != "ok":
        problems.append(f"its optimizer says {after.optimizer}")
    if after.counted != before.counted:
        problems.append(f"{before.counted} points before, {after.counted} after")
    if after.without_vector:
        problems.append(f"{after.without_vector} of {after.sampled} points have no vector")
    verdict = Verdict.FAIL if problems else Verdict.PASS
    if not problems and not before.counted:
        verdict = Verdict.INCONCLUSIVE
    return CheckResult(
        verdict,
        f"state of {after.collection}",
        expected=f"no error, and all {before.counted} points with their vectors",
        actual="; ".join(problems) or f"{after.status}, {after.counted} points",
        details={"before": asdict(before), "after": asdict(after)},
    )
