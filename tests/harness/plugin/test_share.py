"""A share of the cases: each has its turn once in so many days, and none that measures time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harness.plugin import collection
from harness.plugin.collection import in_share

NAMES = [f"isolation/query::case_{number}" for number in range(60)]


def item(name: str, timing: bool = False) -> Any:
    """As much of a collected case as the choice looks at."""
    case = SimpleNamespace(id=name)
    return SimpleNamespace(
        stash={collection.CASE_KEY: case},
        get_closest_marker=lambda marker: object() if timing and marker == "timing" else None,
    )


def test_every_case_has_its_turn_once_in_so_many_days() -> None:
    for name in NAMES:
        turns = [day for day in range(740_000, 740_005) if in_share(item(name), 5, day)]
        assert len(turns) == 1, name


def test_a_day_has_a_part_of_them_and_not_always_the_same() -> None:
    days = [{name for name in NAMES if in_share(item(name), 5, day)} for day in range(5)]
    assert all(days) and len({frozenset(each) for each in days}) == 5
    assert set().union(*days) == set(NAMES)


def test_what_measures_time_is_never_among_them() -> None:
    assert not any(in_share(item(NAMES[0], timing=True), 5, day) for day in range(5))
