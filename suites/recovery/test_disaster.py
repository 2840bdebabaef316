"""recovery/rpo, rto and point-in-time: a disaster, and what the scripts bring back."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from fixtures.observed import agreement, compare
from fixtures.recovery import Recovery, breakdown
from fixtures.rehearsal import Rehearsal, ensure
from fixtures.stores import ALIAS
from harness import conformance, needs
from harness.checks.recovery_point import (
    recovery_point,
    recovery_point_verdict,
    skew_verdict,
)
from harness.core.evidence import Evidence
from harness.core.guide import load_recovery_objectives

ROLES = ("edge", "gateway", "vectordb", "metadata", "objectstore", "embed")


def require_restored(evidence: Evidence, rehearsal: Rehearsal) -> None:
    """Require that the restore ended well and that the gateway answers correctly again."""
    evidence.require(
        "the restore ends well",
        rehearsal.restored.ran.exit_code == 0,
        expected="exit code 0",
        actual=rehearsal.restored.ran.told if rehearsal.restored.ran.exit_code else "exit code 0",
    )
    evidence.require(
        "the gateway gives the correct answer again",
        rehearsal.restored.answered is not None,
        expected="the answer from before the disaster",
        actual=rehearsal.restored.last_answer
        if rehearsal.restored.answered is None
        else "that answer",
    )


@conformance("recovery/rpo", since="0.2")
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(300)
def test_acknowledged_documents_lost_lie_within_the_objective(
    rehearsals: dict[str, Rehearsal], recovery: Callable[[], Recovery], evidence: Evidence
) -> None:
    """After the loss of both stores and a restore, the acknowledged documents of a heartbeat writer
    that are gone MUST lie within the recovery point objective, and be the last ones it wrote."""
    rehearsal = ensure(rehearsals, "latest", recovery)
    require_restored(evidence, rehearsal)
    objectives = load_recovery_objectives()
    point = recovery_point(rehearsal.beats, rehearsal.present, rehearsal.disaster)
    evidence.measure("heartbeats acknowledged", _acknowledged(rehearsal), "documents")
    evidence.measure("writes left indefinite", point.indefinite, "writes")
    for store in ("metadata", "vectors"):
        objective = objectives[f"recovery-point-{store}"]
        own = point.stores[store]
        evidence.measure(
            f"recovery point, {store}",
            own.seconds,
            "s",
            n=own.acknowledged,
            limit=float(objective.seconds),
            interval=[own.seconds, own.at_most] if own.at_most < float("inf") else None,
            method="age of the oldest acknowledged heartbeat that is gone",
        )
        evidence.check(recovery_point_verdict(point, store, objective.seconds))
    evidence.check(skew_verdict(point))
    archived = [
        beat.number
        for beat in rehearsal.beats
        if beat.acknowledged is not None and beat.number <= rehearsal.archived
    ]
    lost = sorted(set(archived) - rehearsal.present["metadata"])
    evidence.require(
        "what the archive had acknowledged before the disaster is there",
        bool(archived) and not lost,
        expected=f"all {len(archived)} heartbeats",
        actual=f"{len(lost)} are gone: {lost[:10]}",
    )
    shorter = {store: numbers - set(archived[-3:]) for store, numbers in rehearsal.present.items()}
    control = recovery_point(rehearsal.beats, shorter, rehearsal.disaster)
    evidence.require(
        "the measure rests on the documents: without the last three it is longer",
        all(control.stores[store].seconds > point.stores[store].seconds for store in point.stores),
        expected="a longer recovery point in each store",
        actual={store: own.seconds for store, own in control.stores.items()},
    )


@conformance("recovery/rto", since="0.2")
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(300)
def test_service_answers_correctly_within_the_objective(
    rehearsals: dict[str, Rehearsal],
    recovery: Callable[[], Recovery],
    metadata: Callable[[], psycopg.Connection],
    evidence: Evidence,
) -> None:
    """After the loss of both stores, the gateway MUST give the correct answer again within the
    recovery time objective, counted from the order to restore, with both stores as they were."""
    rehearsal = ensure(rehearsals, "latest", recovery)
    objective = load_recovery_objectives()["recovery-time"]
    restored = rehearsal.restored
    require_restored(evidence, rehearsal)
    assert restored.answered is not None
    evidence.measure(
        "recovery time",
        restored.answered,
        "s",
        limit=float(objective.seconds),
        method="from the order to the first correct answer of the gateway",
    )
    for name, seconds in breakdown(restored).items():
        evidence.measure(f"recovery time: {name}", seconds, "s")
    evidence.require(
        "the recovery time objective is held",
        restored.answered <= objective.seconds,
        expected=f"at most {objective.seconds} s ({objective.source})",
        actual=f"{restored.answered:.2f} s",
    )
    compare(evidence, "after the restore", rehearsal.before, rehearsal.after, counted=False)
    with metadata() as database, rehearsal.recovery.observer.collection(ALIAS) as collection:
        evidence.check(agreement(database, collection))


@conformance("recovery/point-in-time", since="0.2")
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(300)
def test_both_stores_come_back_as_of_a_moment(
    rehearsals: dict[str, Rehearsal],
    recovery: Callable[[], Recovery],
    metadata: Callable[[], psycopg.Connection],
    evidence: Evidence,
) -> None:
    """A restore to a moment between two writes MUST bring back the first and not the second, in
    both stores, which agree."""
    rehearsal = ensure(rehearsals, "moment", recovery)
    require_restored(evidence, rehearsal)
    acknowledged = {b.number for b in rehearsal.beats if b.acknowledged is not None}
    before = {number for number in acknowledged if number <= rehearsal.mark.number}
    after = {beat.number for beat in rehearsal.beats} - before
    evidence.require(
        "there were writes on either side of the moment",
        len(before) > 3 and len(after & acknowledged) > 3,
        expected="more than three acknowledged before it, and after it",
        actual={"before": len(before), "after": len(after & acknowledged)},
    )
    for store, numbers in rehearsal.present.items():
        evidence.require(
            f"{store}: every document written before the moment is there",
            before <= numbers,
            expected=f"{len(before)} documents",
            actual=f"missing: {sorted(before - numbers)[:10]}",
        )
        evidence.require(
            f"{store}: no document written after the moment is there",
            not numbers & after,
            expected=f"none of {len(after)}",
            actual=f"there: {sorted(numbers & after)[:10]}",
        )
    with metadata() as database, rehearsal.recovery.observer.collection(ALIAS) as collection:
        evidence.check(agreement(database, collection))


def _acknowledged(rehearsal: Rehearsal) -> int:
    return sum(1 for beat in rehearsal.beats if beat.acknowledged is not None)
