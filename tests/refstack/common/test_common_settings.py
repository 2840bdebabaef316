"""Settings are read strictly, and a refusal tells the user what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from refstack.common.settings import Environment, SettingError


@pytest.mark.parametrize(
    ("held", "read", "says"),
    [
        ({}, lambda e: e.text("X"), "X is not set; it must hold a text"),
        ({"X": "  "}, lambda e: e.text("X"), "X is not set"),
        ({"X": "many"}, lambda e: e.integer("X", low=1, high=9), "X holds 'many'"),
        ({"X": "10"}, lambda e: e.integer("X", low=1, high=9), "a whole number from 1 to 9"),
        ({"X": "nan"}, lambda e: e.number("X", low=0, high=1), "a number from 0 to 1"),
        ({"X": "yes"}, lambda e: e.flag("X"), "1, true, 0 or false"),
        ({"X": "c"}, lambda e: e.choice("X", ("a", "b")), "one of a, b"),
        ({"X": "a,,b"}, lambda e: e.names("X"), "none empty"),
        ({"X": "a,a"}, lambda e: e.names("X"), "each once"),
        ({"X": "a,c"}, lambda e: e.names("X", choices=("a", "b")), "list of a, b"),
        ({"X": "localhost:80"}, lambda e: e.url("X"), "http://host:port"),
        ({"X": "http://h:99999"}, lambda e: e.url("X"), "http://host:port"),
        ({"X": "one\ntwo"}, lambda e: e.choice("X", ("a",)), "one of a"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line_that_says_what_would_do(
    held: dict[str, str], read: Callable[[Environment], Any], says: str
) -> None:
    with pytest.raises(SettingError) as refusal:
        read(Environment(held))
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "read",
    [
        lambda e: e.secret("X", shortest=16),
        lambda e: e.url("X", schemes=("postgresql",)),
        lambda e: e.names("X", secret=True),
    ],
)
def test_a_refusal_never_repeats_what_may_be_a_secret(read: Callable[[Environment], Any]) -> None:
    with pytest.raises(SettingError) as refusal:
        read(Environment({"X": "hunter2,"}))
    assert "hunter2" not in str(refusal.value)


def test_good_settings_come_back_typed() -> None:
    env = Environment({"N": "3", "F": "TRUE", "U": "http://a:1/", "L": "a, b", "S": "s" * 8})
    assert env.integer("N", low=1, high=9) == 3
    assert env.integer("ABSENT", 4, low=1, high=9) == 4
    assert env.number("ABSENT", 0.5, low=0, high=1) == 0.5
    assert env.flag("F") is True
    assert env.flag("ABSENT") is False
    assert env.url("U") == "http://a:1"
    assert env.names("L") == ("a", "b")
    assert env.secret("S") == "s" * 8
    assert env.optional("ABSENT") is None
