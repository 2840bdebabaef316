"""Percentiles and windows describe samples as their definitions say."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness.core.events import Samples
from reports.sampling import (
    Sample,
    back_under,
    percentile,
    read_samples,
    slide,
    thin,
    window_seconds,
)


def steady(seconds: float, start: float, count: int, *, ok: bool = True) -> list[Sample]:
    return [Sample(start + index * 0.2, seconds, ok, "treated") for index in range(count)]


def test_a_percentile_is_the_nearest_rank() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, p).value for p in (0.5, 0.95, 0.99)] == [50.0, 95.0, 99.0]
    assert percentile([7.0], 0.95).value == 7.0


def test_the_interval_of_the_median_of_a_hundred_is_that_of_the_tables() -> None:
    found = percentile([float(value) for value in range(1, 101)], 0.5)
    assert (found.low, found.high) == (40.0, 61.0)


def test_too_few_samples_leave_an_end_open() -> None:
    found = percentile([float(value) for value in range(1, 201)], 0.99)
    assert found.high is None
    assert found.low is not None
    alone = percentile([1.0], 0.5)
    assert (alone.low, alone.high) == (None, None)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    chance = random.Random(7)
    held = 0
    for _ in range(300):
        found = percentile(sorted(chance.random() for _ in range(200)), 0.9)
        held += (found.low or 0.0) <= 0.9 <= (found.high or 1.0)
    assert 0.92 <= held / 300 <= 1.0


def test_ranks_of_many_samples_stay_near_the_percentile() -> None:
    found = percentile([float(value) for value in range(100_000)], 0.99)
    assert found.low is not None and found.high is not None
    assert 98_900 < found.low < 98_999 < found.high < 99_100


def test_a_window_with_few_successes_has_no_percentile() -> None:
    points = slide(steady(0.1, 0, 19), 10)
    assert points and all(point.p95 is None for point in points)
    assert slide([], 10) == []


def test_windows_end_with_the_last_sample() -> None:
    samples = steady(0.1, 0, 52)
    assert slide(samples, 5)[-1].t == samples[-1].t


def test_a_window_tells_percentile_and_share_of_failures() -> None:
    samples = steady(0.1, 0, 50) + steady(0.9, 10, 25) + steady(0.01, 15, 25, ok=False)
    points = slide(samples, 10)
    last = points[-1]
    assert last.p95 == 0.9
    assert last.failed == pytest.approx(0.5, abs=0.05)


def test_recovery_is_when_the_line_falls_for_good() -> None:
    samples = steady(0.1, 0, 100) + steady(0.5, 20, 100) + steady(0.1, 40, 200)
    back = back_under(slide(samples, 5), 0.25, after=20)
    assert back is not None and 40 < back <= 46


def test_a_line_that_rises_again_has_not_recovered() -> None:
    samples = steady(0.5, 0, 100) + steady(0.1, 20, 100) + steady(0.5, 40, 100)
    assert back_under(slide(samples, 5), 0.25, after=0) is None


def test_a_line_that_never_rose_has_nothing_to_recover_from() -> None:
    assert back_under(slide(steady(0.1, 0, 300), 5), 0.25, after=10) is None


def test_fast_errors_are_no_recovery() -> None:
    slow = steady(0.5, 0, 100)
    assert back_under(slide(slow + steady(0.01, 20, 200, ok=False), 5), 0.25, after=0) is None
    mixed = [Sample(20 + index * 0.2, 0.1, index % 10 != 0, "") for index in range(300)]
    assert back_under(slide(slow + mixed, 10), 0.25, after=0) is None
    healthy = [Sample(20 + index * 0.2, 0.1, True, "") for index in range(300)]
    assert back_under(slide(slow + healthy, 10), 0.25, after=0) is not None


def test_thinning_keeps_the_slowest() -> None:
    samples = [Sample(float(i), 0.1, True, "") for i in range(10_000)]
    samples[1234] = Sample(1234.0, 9.0, True, "")
    shown = thin(samples, 500)
    assert len(shown) < 700
    assert any(sample.seconds == 9.0 for sample in shown)
    assert thin(samples[:100], 500) == samples[:100]


def test_windows_are_round() -> None:
    assert [window_seconds(span) for span in (10, 120, 3600, 1e6)] == [1, 5, 300, 3600]


def test_damaged_lines_are_counted_and_told(tmp_path: Path) -> None:
    rows = ['{"t": 1, "seconds": 0.2}', "{", "[]", '{"t": "x"}', '{"t": 2, "seconds": NaN}']
    (tmp_path / "s.jsonl").write_text("\n".join(rows) + "\n")
    found = read_samples(tmp_path, Samples("c", "n", "s", "s.jsonl", 5))
    assert len(found.samples) == 1
    assert found.trouble == "s.jsonl holds 4 damaged lines"


def test_a_request_that_was_never_answered_is_a_failure(tmp_path: Path) -> None:
    rows = [{"t": index, "seconds": None, "ok": False} for index in range(3)]
    rows += [{"t": 4, "seconds": None, "ok": True}]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_samples(tmp_path, Samples("c", "n", "s", "s.jsonl", 4))
    assert [sample.ok for sample in found.samples] == [False] * 3
    assert found.trouble == "s.jsonl holds 1 damaged line", "a success has a latency"
    assert slide(found.samples, 10)[-1].failed == 1.0


def test_samples_come_in_order_of_time_with_the_arm_of_their_record(tmp_path: Path) -> None:
    rows = [{"t": 2, "seconds": 0.2, "ok": False}, {"t": 1, "seconds": 0.1, "arm": "control"}]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_samples(tmp_path, Samples("c", "n", "s", "s.jsonl", 2, arm="treated"))
    assert [(s.t, s.ok, s.arm) for s in found.samples] == [
        (1.0, True, "control"),
        (2.0, False, "treated"),
    ]
    assert found.trouble == ""
