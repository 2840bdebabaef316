"""Tests for scripts/dayops/wal.py: how far an archive reaches, by the names of its segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.dayops import wal
from scripts.dayops.script import Refused

MB = 1 << 20


def segments(start: str, count: int, size: int = 16 * MB) -> list[str]:
    names = [start]
    while len(names) < count:
        names.append(wal.following(names[-1], size))
    return names


def test_a_segment_is_followed_by_the_next_and_at_the_end_of_a_log_file_by_the_next_file() -> None:
    assert wal.following("000000010000000000000009", 16 * MB) == "00000001000000000000000A"
    assert wal.following("0000000100000000000000FF", 16 * MB) == "000000010000000100000000"
    assert wal.following("0000000100000000000000FF", 4 * MB) == "000000010000000000000100"
    assert wal.following("0000000100000000000003FF", 4 * MB) == "000000010000000100000000"


@given(st.integers(0, 2**20), st.sampled_from([4 * MB, 16 * MB, 64 * MB]))
def test_the_segment_before_the_next_one_is_the_same_again(number: int, size: int) -> None:
    per_file = (1 << 32) // size
    name = f"00000007{number // per_file:08X}{number % per_file:08X}"
    assert wal.preceding(wal.following(name, size), size) == name


def test_a_history_file_is_no_segment() -> None:
    assert wal.is_segment("000000010000000000000009")
    assert not wal.is_segment("00000002.history")
    assert not wal.is_segment("000000010000000000000009.partial")


def test_an_unbroken_archive_has_no_gap() -> None:
    names = segments("000000010000000000000003", 6)
    found = wal.look(names, names[1], 16 * MB)
    assert found.names == tuple(names[1:])
    assert (found.gap, found.beyond, found.others) == ("", (), ())


@given(st.integers(1, 30), st.integers(0, 28))
def test_any_missing_segment_but_the_last_is_a_gap(more: int, missing: int) -> None:
    names = segments("0000000100000000000000F0", more + 2)
    gone = names[min(missing, more)]
    found = wal.look([n for n in names if n != gone], names[0], 16 * MB)
    assert found.gap == gone
    assert found.names == tuple(names[: names.index(gone)])
    with pytest.raises(Refused, match=gone):
        wal.refuse_gap(found, "wal/1/")


def test_the_missing_last_segment_is_only_a_log_that_reaches_less_far() -> None:
    names = segments("000000010000000000000003", 5)
    assert wal.look(names[:-1], names[0], 16 * MB).gap == ""


def test_labels_and_other_timelines_are_not_taken_for_segments_of_this_one() -> None:
    names = segments("000000010000000000000003", 3)
    more = ["000000010000000000000003.00000028.backup", "00000002.history"]
    later = "000000020000000000000006"
    found = wal.look([*names, *more, later], names[0], 16 * MB)
    assert found.names == tuple(names)
    assert found.gap == ""
    assert found.others == ("00000002.history", later)


def test_clusters_that_share_an_identifier_have_directories_of_their_own() -> None:
    assert wal.directory("77") == "wal/77/"
    assert wal.directory("77", "blue") != wal.directory("77", "green")
    assert wal.directory("77", "a/../b") == "wal/77-a_.._b/"
