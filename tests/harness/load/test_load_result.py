"""Samples and void rules: what makes a load run count for nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.load.plan import LoadPlan, Request
from harness.load.result import void_reason
from harness.load.samples import LoadSamples, SampleFile

PLAN = LoadPlan("http://127.0.0.1:1", [Request("GET", "/")], rate=10, duration_s=1)


def _row(i: int, **changes: Any) -> dict[str, Any]:
    row = {
        "i": i,
        "intended": i / 10,
        "started": i / 10,
        "finished": i / 10 + 0.05,
        "status": 200,
        "error": None,
        "bytes": 2,
        "key": "a" if i % 2 else "b",
        "reused": True,
    }
    return {**row, **changes}


def _samples(n: int = 10, **changes: Any) -> LoadSamples:
    return LoadSamples.from_rows([_row(i, **changes) for i in range(n)])


def test_a_run_that_kept_to_its_schedule_counts() -> None:
    assert void_reason(PLAN, _samples(), 10, None) is None


def test_failed_requests_do_not_void_a_run_because_they_are_findings() -> None:
    assert void_reason(PLAN, _samples(status=503), 10, None) is None
    assert void_reason(PLAN, _samples(status=0, error="timeout"), 10, None) is None


@pytest.mark.parametrize(
    ("samples", "scheduled", "ended", "words"),
    [
        (_samples(0), 0, None, "no samples"),
        (_samples(9), 10, None, "10 arrivals were due, and 9 samples"),
        (_samples(10), 10, "killed", "killed"),
        (_samples(10, started=5.0, finished=5.1), 10, None, "generator was late"),
        (
            LoadSamples.from_rows([_row(0), {"i": 1, "intended": 0.1, "error": "dropped"}]),
            2,
            None,
            "1 of 2 arrivals were dropped",
        ),
        (LoadSamples.from_rows([_row(0), _row(0)]), 2, None, "2 arrivals were due"),
    ],
)
def test_a_run_that_did_not_is_void_and_says_why(
    samples: LoadSamples, scheduled: int, ended: str | None, words: str
) -> None:
    assert words in str(void_reason(PLAN, samples, scheduled, ended))


def test_a_fast_error_is_no_fast_answer() -> None:
    samples = LoadSamples.from_rows(
        [_row(0), _row(1, status=500), _row(2, status=0, error="closed"), _row(3, status=301)]
    )
    assert samples.ok.tolist() == [True, False, False, False]
    assert samples.answered_latency.tolist() == [pytest.approx(0.05), math.inf, math.inf, math.inf]
    assert samples.counts() == {"200": 1, "301": 1, "500": 1, "closed": 1}


def test_a_truncated_success_is_a_failure() -> None:
    assert _samples(1, status=200, error="truncated").ok.tolist() == [False]


def test_latency_counts_from_the_intended_start() -> None:
    assert _samples(1, started=2.0, finished=2.5).latency.tolist() == [2.5]


def test_samples_are_put_in_arrival_order_and_can_be_cut() -> None:
    samples = LoadSamples.from_rows([_row(i) for i in (3, 1, 2, 0)])
    assert samples.number.tolist() == [0, 1, 2, 3]
    assert samples.between(0.1, 0.3).number.tolist() == [1, 2]
    assert samples.with_key("a").number.tolist() == [1, 3]


def test_a_file_that_grows_is_read_line_by_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    reader = SampleFile(path)
    assert reader.rows() == []
    first, second = json.dumps(_row(0)) + "\n", json.dumps(_row(1)) + "\n"
    path.write_text(first + second[:9])
    assert len(reader.rows()) == 1
    path.write_text(first + second)
    assert [row["i"] for row in reader.rows()] == [0, 1]


def test_history_lines_carry_utc_times_and_null_for_what_was_never_sent(tmp_path: Path) -> None:
    samples = LoadSamples.from_rows([_row(0), {"i": 1, "intended": 0.1, "error": "dropped"}])
    assert samples.write_history(tmp_path / "x" / "s.jsonl", 1000.0, arm="treated") == 2
    lines = [json.loads(line) for line in (tmp_path / "x" / "s.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "t": 1000.0,
        "seconds": 0.05,
        "status": 200,
        "ok": True,
        "error": None,
        "arm": "treated",
    }
    assert lines[1]["seconds"] is None and lines[1]["t"] == 1000.1
