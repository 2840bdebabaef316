"""Before and after: a change is told apart from noise, and what cannot be told is not claimed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from synthetic_run import Maker, passing_run

from reports import comparison
from reports.comparison import Comparison, compare

Run = Callable[[Maker], None]


def two(tmp_path: Path, before: Run, after: Run, **changes: Any) -> Comparison:
    for name, run, fields in (("before", before, {}), ("after", after, changes)):
        make = Maker(tmp_path / name)
        make.start(**fields)
        run(make)
        make.finish()
        make.history.close()
    return compare(tmp_path / "before", tmp_path / "after")


def measured(value: float, **more: Any) -> Run:
    def run(make: Maker) -> None:
        make.begin("slo/latency::p95")
        make.saw("slo/latency::p95", "p95")
        make.measure("slo/latency::p95", "query p95", value, more.pop("unit", "s"), **more)
        make.end("slo/latency::p95", "pass")

    return run


def ended(word: str, case: str = "slo/latency::p95") -> Run:
    def run(make: Maker) -> None:
        make.begin(case)
        make.saw(case, "p95", word if word != "skip" else "pass")
        make.end(case, word, message="why")

    return run


def test_a_run_compared_with_itself_shows_no_change(tmp_path: Path) -> None:
    run = passing_run(tmp_path / "run")
    found = compare(run, run)
    assert not found.worse
    assert (found.unlike, found.components, found.verdicts) == ((), (), ())
    assert [change.word for change in found.measures] == ["same; within noise"]


@pytest.mark.parametrize(
    ("old", "new", "side", "word", "worse"),
    [
        ((0.10, [0.09, 0.11]), (0.15, [0.14, 0.16]), "max", "+50 %; worse", True),
        ((0.15, [0.14, 0.16]), (0.10, [0.09, 0.11]), "max", "−33.3 %; better", False),
        ((0.10, [0.09, 0.12]), (0.13, [0.11, 0.15]), "max", "+30 %; within noise", False),
        ((0.10, [0.09, 0.11]), (0.12, [0.11, 0.13]), "max", "+20 %; within noise", False),
        ((0.90, [0.88, 0.92]), (0.80, [0.78, 0.82]), "min", "−11.1 %; worse", True),
        ((0.80, [0.78, 0.82]), (0.90, [0.88, 0.92]), "min", "+12.5 %; better", False),
    ],
)
def test_only_intervals_that_do_not_touch_make_a_change(
    tmp_path: Path,
    old: tuple[float, list[float]],
    new: tuple[float, list[float]],
    side: str,
    word: str,
    worse: bool,
) -> None:
    found = two(
        tmp_path,
        measured(old[0], interval=old[1], limit=0.5, side=side),
        measured(new[0], interval=new[1], limit=0.5, side=side),
    )
    assert [(change.word, change.worse) for change in found.measures] == [(word, worse)]
    assert found.worse is worse


@pytest.mark.parametrize("interval", [None, [0.2, float("nan")], [0.3, 0.2]])
def test_without_a_sound_interval_nothing_is_claimed(
    tmp_path: Path, interval: list[float] | None
) -> None:
    found = two(
        tmp_path,
        measured(0.1, interval=[0.09, 0.11], limit=0.25),
        measured(0.25, interval=interval, limit=0.25),
    )
    assert found.measures[0].word == "+150 %; noise unknown"
    assert not found.worse


def test_without_a_limit_a_change_has_no_good_or_bad_side(tmp_path: Path) -> None:
    found = two(
        tmp_path, measured(0.1, interval=[0.09, 0.11]), measured(0.2, interval=[0.19, 0.21])
    )
    assert (found.measures[0].word, found.worse) == ("+100 %; beyond noise", False)


def test_other_units_are_not_compared(tmp_path: Path) -> None:
    found = two(tmp_path, measured(0.1), measured(100.0, unit="ms"))
    assert found.measures[0].word == "units differ (s, ms)"


@pytest.mark.parametrize(
    ("old", "new", "word", "worse"),
    [
        ("pass", "fail", "worse", True),
        ("pass", "skip", "worse", True),
        ("fail", "error", "worse", True),
        ("fail", "pass", "better", False),
    ],
)
def test_a_verdict_gets_worse_or_better(
    tmp_path: Path, old: str, new: str, word: str, worse: bool
) -> None:
    found = two(tmp_path, ended(old), ended(new))
    assert [(c.before, c.after, c.word) for c in found.verdicts] == [(old, new, word)]
    assert found.worse is worse


def test_a_pass_that_is_no_longer_in_the_run_is_worse(tmp_path: Path) -> None:
    def both(make: Maker) -> None:
        ended("pass")(make)
        ended("pass", "tune/ef::recall")(make)

    found = two(tmp_path, both, ended("pass"))
    assert [(c.what, c.word) for c in found.verdicts] == [("tune/ef::recall", "no longer shown")]
    assert found.worse


def test_a_new_case_is_told_and_not_worse(tmp_path: Path) -> None:
    def both(make: Maker) -> None:
        ended("pass")(make)
        ended("pass", "tune/ef::recall")(make)

    found = two(tmp_path, ended("pass"), both)
    assert [(c.what, c.word) for c in found.verdicts] == [("tune/ef::recall", "new")]
    assert not found.worse


def test_a_run_that_was_cut_off_is_worse_than_one_that_was_not(tmp_path: Path) -> None:
    passing_run(tmp_path / "a")
    passing_run(tmp_path / "b")
    history = tmp_path / "b" / "run.jsonl"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:-1]))
    assert compare(tmp_path / "a", tmp_path / "b").worse


def test_other_conditions_are_told(tmp_path: Path) -> None:
    found = two(tmp_path, ended("pass"), ended("pass"), profile="ci", seed=3)
    assert [change.what for change in found.unlike] == ["profile", "seed"]


def test_measures_of_one_name_are_compared_in_their_order(tmp_path: Path) -> None:
    def twice(*values: float) -> Run:
        def run(make: Maker) -> None:
            make.begin("tune/ef::recall")
            make.saw("tune/ef::recall", "recall")
            for value in values:
                make.measure("tune/ef::recall", "recall", value, "share")
            make.end("tune/ef::recall", "pass")

        return run

    found = two(tmp_path, twice(0.8, 0.9), twice(0.8, 0.95))
    assert [(c.what, c.before, c.after) for c in found.measures] == [
        ("recall", "80 %", "80 %"),
        ("recall (2)", "90 %", "95 %"),
    ]


def test_both_forms_show_each_change(tmp_path: Path) -> None:
    found = two(
        tmp_path,
        measured(0.1, interval=[0.09, 0.11], limit=0.25),
        measured(0.2, interval=[0.19, 0.21], limit=0.25),
    )
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(comparison.table(found))
    for text in (out.getvalue(), comparison.markdown(found)):
        assert "100 ms" in text and "200 ms" in text
        assert "100 %; worse" in text
    assert "**+100 %; worse**" in comparison.markdown(found)
