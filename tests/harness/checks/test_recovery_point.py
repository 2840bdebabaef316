"""The recovery point by the heartbeats: losses, holes, skew, and what was too coarse to tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks.recovery_point import (
    Beat,
    recovery_point,
    recovery_point_verdict,
    skew_verdict,
)
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

BEATS = [Beat(n, sent=float(n), acknowledged=n + 0.2) for n in range(10)]
DISASTER = 10.0
ALL = set(range(10))


def test_nothing_lost_is_a_recovery_point_of_zero() -> None:
    point = recovery_point(BEATS, {"metadata": ALL, "vectors": ALL}, DISASTER)
    assert point.seconds == 0
    assert recovery_point_verdict(point, "metadata", 2.0).verdict is Verdict.PASS
    assert skew_verdict(point).verdict is Verdict.PASS


def test_a_lost_tail_is_as_long_as_its_oldest_beat_is_old() -> None:
    point = recovery_point(BEATS, {"metadata": set(range(7))}, DISASTER)
    assert point.stores["metadata"].lost == [7, 8, 9]
    assert point.stores["metadata"].holes == []
    assert point.seconds == pytest.approx(3.0)
    assert recovery_point_verdict(point, "metadata", 5.0).verdict is Verdict.PASS
    assert recovery_point_verdict(point, "metadata", 2.0).verdict is Verdict.FAIL


def test_a_hole_fails_however_generous_the_objective() -> None:
    point = recovery_point(BEATS, {"metadata": ALL - {4}}, DISASTER)
    assert point.stores["metadata"].holes == [4]
    assert recovery_point_verdict(point, "metadata", 1e9).verdict is Verdict.FAIL


def test_beats_that_overlapped_may_be_kept_in_either_order() -> None:
    beats = [Beat(0, 0.0, 2.0), Beat(1, 0.5, 1.0), Beat(2, 1.5, 1.6)]
    point = recovery_point(beats, {"metadata": {1}}, 3.0)
    assert point.stores["metadata"].holes == []
    assert point.stores["metadata"].lost == [0, 2]


def test_beats_too_far_apart_for_the_objective_are_inconclusive() -> None:
    point = recovery_point([BEATS[0], BEATS[9]], {"metadata": {0}}, DISASTER)
    own = point.stores["metadata"]
    assert (own.seconds, own.at_most) == (pytest.approx(1.0), pytest.approx(10.0))
    assert recovery_point_verdict(point, "metadata", 5.0).verdict is Verdict.INCONCLUSIVE


def test_a_writer_that_stood_still_before_the_disaster_is_inconclusive() -> None:
    point = recovery_point(BEATS, {"metadata": ALL}, DISASTER + 60)
    assert recovery_point_verdict(point, "metadata", 5.0).verdict is Verdict.INCONCLUSIVE


def test_a_pause_long_before_the_loss_does_not_blur_it() -> None:
    point = recovery_point([Beat(-1, -900.0, -899.0), *BEATS], {"metadata": ALL | {-1}}, DISASTER)
    assert recovery_point_verdict(point, "metadata", 5.0).verdict is Verdict.PASS


def test_nothing_restored_has_no_upper_end() -> None:
    own = recovery_point(BEATS, {"metadata": set()}, DISASTER).stores["metadata"]
    assert own.at_most == float("inf")


def test_what_nobody_acknowledged_is_not_lost() -> None:
    beats = [*BEATS, Beat(10, 9.5, None), Beat(11, 9.6, DISASTER + 1)]
    point = recovery_point(beats, {"metadata": ALL}, DISASTER)
    assert point.stores["metadata"].lost == []
    assert point.indefinite == 2


def test_stores_at_different_points_are_told_apart() -> None:
    point = recovery_point(BEATS, {"metadata": ALL, "vectors": set(range(6))}, DISASTER)
    assert point.torn == [6, 7, 8, 9]
    assert point.skew == pytest.approx(4.0)
    assert skew_verdict(point).verdict is Verdict.FAIL


def test_one_store_alone_shows_no_agreement() -> None:
    point = recovery_point(BEATS, {"metadata": ALL}, DISASTER)
    assert skew_verdict(point).verdict is Verdict.INCONCLUSIVE


def test_no_acknowledged_beat_is_an_error_and_no_pass() -> None:
    with pytest.raises(HarnessError, match="nothing to measure"):
        recovery_point([Beat(0, 0.0, None)], {"metadata": {0}}, DISASTER)
    with pytest.raises(HarnessError, match="nothing to measure"):
        recovery_point(BEATS, {}, DISASTER)


@given(kept=st.sets(st.integers(0, 9)), more=st.sets(st.integers(0, 9)))
def test_losing_more_never_looks_like_losing_less(kept: set[int], more: set[int]) -> None:
    one = recovery_point(BEATS, {"metadata": kept | more}, DISASTER)
    other = recovery_point(BEATS, {"metadata": kept}, DISASTER)
    assert other.seconds >= one.seconds
