"""Numbers read as a person would write them, and never hide on which side of a limit they lie."""

from __future__ import annotations

import pytest

from reports.wording import (
    duration,
    number,
    offset,
    plain,
    quantity,
    quantity_beside,
    shorten,
    utc,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.2143, "s", "214.3 ms"),
        (0.00025, "seconds", "250 µs"),
        (12.4, "s", "12.4 s"),
        (3412, "s", "56 min 52 s"),
        (7200, "s", "2 h"),
        (0, "s", "0 s"),
        (-0.5, "s", "−500 ms"),
        (0.99951, "share", "99.951 %"),
        (0.999, "share", "99.9 %"),
        (1.0, "share", "100 %"),
        (0.012, "ratio", "1.2 %"),
        (0, "share", "0 %"),
        (1536, "bytes", "1.5 KiB"),
        (12260, "count", "12,260"),
        (3.14159, "points/s", "3.142 points/s"),
        (float("nan"), "s", "not a number"),
        (float("inf"), "s", "∞"),
        (None, "s", "none"),
        ("?", "s", "?"),
    ],
)
def test_a_quantity_in_words(value: object, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("value", "limit", "unit"),
    [
        (0.250001, 0.25, "s"),
        (3600.04, 3600, "s"),
        (0.99900004, 0.999, "share"),
        (15_000_001, 15_000_000, "count"),
        (1024.0001, 1024, "bytes"),
    ],
)
def test_a_value_beyond_its_limit_never_reads_like_it(
    value: float, limit: float, unit: str
) -> None:
    assert quantity_beside(value, limit, unit) != quantity_beside(limit, value, unit)


def test_equal_values_stay_short() -> None:
    assert quantity_beside(0.25, 0.25, "s") == "250 ms"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (0.1, "0.1"), (123.456, "123.5"), (1e20, "1.000e+20")],
)
def test_a_number_has_four_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_moments_carry_their_sign() -> None:
    assert [offset(seconds) for seconds in (-30, 0, 84.21)] == ["−30 s", "+0 s", "+84.2 s"]


def test_recorded_values_are_shown_as_recorded() -> None:
    assert value_text(20261122) == "20261122"
    assert value_text(0.1 + 0.2) == "0.3"
    assert value_text(["a", "b"]) == "a, b"
    assert value_text({"a": 1}) == '{"a": 1}'
    assert value_text(True) == "yes"


def test_a_long_value_says_how_much_is_missing() -> None:
    assert value_text("x" * 2500).endswith("… (500 more characters in run.jsonl)")


def test_nothing_is_cut_that_is_shorter_than_the_remark_about_it() -> None:
    for missing in (1, 21, 36):
        text = "x" * (200 + missing)
        assert shorten(text, 200) == text


def test_a_time_out_of_this_world_is_still_written() -> None:
    assert utc(1e30).startswith("1e+30")


def test_durations_never_show_a_full_minute_of_seconds() -> None:
    assert duration(179.9999) == "3 min"


def test_terminal_escapes_go_and_direction_overrides_show() -> None:
    assert plain("\x1b[31;1mred\x1b[0m\x1b]0;title\x07 a\u202eb") == "red a\ufffdb"
