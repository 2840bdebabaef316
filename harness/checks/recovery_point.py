"""The recovery point: which acknowledged heartbeats are gone after a restore, in which store.

It is read from the documents themselves. No timestamp of a backup, a file or a log says what can be
restored from it, so none is an input here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.checks.result import CheckResult
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Beat:
    """One numbered document as its writer saw it.

    ``sent`` and ``acknowledged`` are seconds on one clock that never steps; ``acknowledged`` is
    ``None`` where no positive answer came, so that nobody promised that the document is there.
    """

    number: int
    sent: float
    acknowledged: float | None

    def __post_init__(self) -> None:
        if self.acknowledged is not None and self.acknowledged < self.sent:
            raise HarnessError("a heartbeat ended before it began", actual=asdict(self))


@dataclass(frozen=True, slots=True)
class StorePoint:
    """What one store gave back.

    ``seconds``: how long before the disaster the oldest acknowledged beat that is gone was sent; 0
    when none is gone. ``at_most``: the same of the last beat that is there before it; between the
    two nothing was written that could tell. Infinite when no such beat is there. ``lost``: the
    numbers of the acknowledged beats that are gone. ``holes``: those among them that were
    acknowledged before a beat was sent that is there: no recovery to a single moment explains them.
    """

    store: str
    acknowledged: int
    seconds: float
    at_most: float
    lost: list[int] = field(default_factory=list)
    holes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """``skew`` is how far apart the stores lie, in seconds; ``torn`` names the acknowledged beats
    that some stores have and others lack. Indefinite beats count nowhere."""

    stores: dict[str, StorePoint]
    skew: float
    torn: list[int]
    indefinite: int

    @property
    def seconds(self) -> float:
        """The loss of the store that lost most."""
        return max((point.seconds for point in self.stores.values()), default=0.0)


def recovery_point(
    beats: Iterable[Beat], present: Mapping[str, AbstractSet[int]], disaster: float
) -> RecoveryPoint:
    """Compare the writer's own log with what each store holds after the restore.

    ``present`` maps a store's name to the numbers it holds; ``disaster`` is on the beats' clock,
    and beats sent after it are left out. Raises HarnessError when there is no store, or no
    acknowledged beat to lose.
    """
    before = sorted((b for b in beats if b.sent < disaster), key=lambda beat: beat.sent)
    acknowledged = [b for b in before if b.acknowledged is not None and b.acknowledged <= disaster]
    if not acknowledged or not present:
        raise HarnessError(
            "There is nothing to measure a recovery point by.",
            expected="beats that were acknowledged before the disaster, and a store to read",
            actual=f"{len(acknowledged)} acknowledged beats, {len(present)} stores",
            next_step="let the heartbeat writer run for a while before the disaster",
        )
    stores = {
        name: _of_store(name, acknowledged, numbers, disaster) for name, numbers in present.items()
    }
    losses = [point.seconds for point in stores.values()]
    torn = sorted(
        beat.number
        for beat in acknowledged
        if len({beat.number in numbers for numbers in present.values()}) > 1
    )
    return RecoveryPoint(
        stores=stores,
        skew=max(losses) - min(losses),
        torn=torn,
        indefinite=len(before) - len(acknowledged),
    )


def recovery_point_verdict(
    point: RecoveryPoint, store: str, objective: float, *, what: str | None = None
) -> CheckResult:
    """Hold one store's loss against its objective (seconds).

    Fail: the loss is longer, or it has holes. Inconclusive: the beats were too far apart to tell.
    """
    own = point.stores[store]
    verdict = Verdict.PASS
    actual = f"{own.seconds:.2f} s: {len(own.lost)} of {own.acknowledged} acknowledged are gone"
    details: dict[str, Any] = {
        "seconds": own.seconds,
        "at_most": own.at_most,
        "acknowledged": own.acknowledged,
        "indefinite": point.indefinite,
        "lost": len(own.lost),
        "lost_numbers": own.lost[:EXAMPLES],
        "holes": own.holes[:EXAMPLES],
    }
    if own.holes:
        verdict = Verdict.FAIL
        actual = f"{len(own.holes)} acknowledged beats are gone from amid those that are there"
    elif own.seconds > objective:
        verdict = Verdict.FAIL
    elif own.at_most > objective:
        verdict = Verdict.INCONCLUSIVE
        details["reason"] = "the beats were too far apart for this objective"
    return CheckResult(
        verdict,
        what or f"recovery point of {store}",
        expected=f"at most {objective:g} s of acknowledged writes, and no hole before them",
        actual=actual,
        details=details,
    )


def skew_verdict(point: RecoveryPoint) -> CheckResult:
    """Judge that all stores hold the same acknowledged beats. One store alone shows nothing."""
    verdict = Verdict.FAIL if point.torn else Verdict.PASS
    if len(point.stores) < 2:
        verdict = Verdict.INCONCLUSIVE
    return CheckResult(
        verdict,
        "the stores are at one point",
        expected="each acknowledged beat in all stores or in none",
        actual=f"{len(point.torn)} torn, {point.skew:.2f} s apart",
        details={"torn": point.torn[:EXAMPLES], "skew": point.skew, "stores": sorted(point.stores)},
    )


def _of_store(
    name: str, acknowledged: list[Beat], present: AbstractSet[int], disaster: float
) -> StorePoint:
    lost = [beat for beat in acknowledged if beat.number not in present]
    kept = [beat for beat in acknowledged if beat.number in present]
    first_lost = min((beat.sent for beat in lost), default=disaster)
    last_kept = max((beat.sent for beat in kept), default=-math.inf)
    before = max((beat.sent for beat in kept if beat.sent < first_lost), default=-math.inf)
    return StorePoint(
        store=name,
        acknowledged=len(acknowledged),
        seconds=disaster - first_lost,
        at_most=disaster - before,
        lost=sorted(beat.number for beat in lost),
        # A beat that was still under way when a later one was sent may rightly come after it.
        holes=[b.number for b in lost if b.acknowledged is not None and b.acknowledged < last_kept],
    )
