"""A share of the cases: each has its turn once in so many days, and none that measures time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.run import CHECKOUT
from harness.plugin import collection
from harness.plugin.collection import in_share

NAMES = [f"isolation/query::case_{number}" for number in range(60)]


def own(path: str, name: str) -> Any:
    """As much of a collected test of our own."""
    return SimpleNamespace(stash={}, nodeid=f"{path}::{name}", get_closest_marker=lambda _: None)


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


def test_own_tests_take_turns_by_file() -> None:
    paths = [f"tests/area/test_{number}.py" for number in range(40)]
    for path in paths:
        turns = [
            [day for day in range(3) if in_share(own(path, name), 3, day)] for name in ("a", "b[1]")
        ]
        assert turns[0] == turns[1] and len(turns[0]) == 1
    assert len({day for path in paths for day in range(3) if in_share(own(path, "a"), 3, day)}) == 3


def run(place: Path, day: str) -> subprocess.CompletedProcess[str]:
    """Run the tests below a directory with one in two files, on a day."""
    plugins = ("-p", "harness.plugin.options", "-p", "harness.plugin.collection")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-p", "no:cacheprovider", "--share=2", "-q"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "RAGDRILL_SHARE_DAY": day},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_run_of_own_tests_keeps_the_files_of_the_day(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    for letter in "abcdefgh":
        two = "def test_one(): pass\ndef test_two(): pass\n"
        (tmp_path / f"test_{letter}.py").write_text(two)
    ran = []
    for day in ("740000", "740001"):
        found = re.search(r"(\d+) passed, (\d+) deselected", run(tmp_path, day).stdout)
        assert found is not None
        ran.append(tuple(map(int, found.groups())))
    (first, left), (second, right) = ran
    assert (first, second) == (right, left)
    assert first + second == 16
    assert first % 2 == second % 2 == 0


def test_a_day_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    ended = run(tmp_path, "monday")
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert "RAGDRILL_SHARE_DAY holds 'monday'" in ended.stderr
