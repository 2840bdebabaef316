"""Shrinking ends with what still fails, and nothing of it can be left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.checks.shrink import ddmin


def test_one_cause_among_many_is_found() -> None:
    assert ddmin(range(64), lambda part: 41 in part) == [41]


def test_two_causes_that_only_fail_together_are_both_kept_in_order() -> None:
    assert ddmin(range(50), lambda part: {7, 33} <= set(part)) == [7, 33]


def test_a_single_item_is_not_tried_again() -> None:
    def never(_part: list[int]) -> bool:
        raise AssertionError("what is known to fail needs no trial")

    assert ddmin([5], never) == [5]


def test_what_fails_only_as_a_whole_stays_whole() -> None:
    assert ddmin([1, 2, 3], lambda part: len(part) == 3) == [1, 2, 3]


def test_when_no_trial_is_left_the_least_so_far_is_returned_and_still_fails() -> None:
    tried: list[list[int]] = []

    def fails(part: list[int]) -> bool:
        tried.append(part)
        return {3, 60} <= set(part)

    left = ddmin(range(64), fails, may_try=lambda: len(tried) < 5)
    assert len(tried) == 5
    assert {3, 60} <= set(left)


@given(st.integers(2, 24), st.data())
def test_no_item_of_the_result_can_be_left_out(size: int, data: st.DataObject) -> None:
    causes = set(data.draw(st.lists(st.integers(0, size - 1), min_size=1, unique=True)))
    left = ddmin(range(size), lambda part: causes <= set(part))
    assert set(left) == causes
    assert left == sorted(left)
