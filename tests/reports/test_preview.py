"""A dashboard's preview draws what was recorded, and tells what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.events import DashboardPreview
from reports.preview import read, shown

PANEL: dict[str, Any] = {
    "title": "Latency <p95>",
    "kind": "timeseries",
    "unit": "s",
    "description": "Time to answer.",
    "limits": [0.25],
    "texts": {},
    "series": [
        {"name": "p95", "points": [[100.0, 0.1], [101.0, None], [102.0, 0.2]]},
        {"name": "p50", "points": [[100.0, 0.05], [102.0, None]]},
    ],
}


def said(run: Path, *rows: Any, panels: int | None = None, file: str = "samples/d.jsonl") -> Any:
    path = run / "samples" / "d.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return DashboardPreview("c", "rag-ov", "RAG Overview", file, panels or len(rows))


def test_a_panel_shows_its_lines_its_threshold_and_its_last_values(tmp_path: Path) -> None:
    board = read(tmp_path, said(tmp_path, PANEL))
    (panel,) = board.panels
    assert not board.trouble
    assert [(name, value) for _, name, value in panel.values] == [
        ("p95", "200 ms"),
        ("p50", "50 ms"),
    ]
    assert 'class="objective"' in panel.drawing
    assert 'class="series-0"' in panel.drawing and 'class="series-1"' in panel.drawing
    assert "<p95>" not in panel.drawing, "what a dashboard is called is text, not markup"


def test_a_gap_in_the_numbers_is_a_gap_in_the_line(tmp_path: Path) -> None:
    (panel,) = read(tmp_path, said(tmp_path, PANEL)).panels
    line = panel.drawing.split('class="series-0"')[0].rpartition('d="')[2]
    assert line.count("M") == 2


def test_a_threshold_far_above_what_was_measured_does_not_flatten_it(tmp_path: Path) -> None:
    far = {**PANEL, "unit": "short", "limits": [15_000_000.0]}
    (panel,) = read(tmp_path, said(tmp_path, far)).panels
    assert 'class="objective"' not in panel.drawing


def test_a_stat_is_shown_in_words(tmp_path: Path) -> None:
    stat = {
        **PANEL,
        "kind": "stat",
        "unit": "none",
        "texts": {"1": "up"},
        "series": [{"name": "embed", "points": [[1.0, 1.0]]}, {"name": "edge", "points": []}],
    }
    (panel,) = read(tmp_path, said(tmp_path, stat)).panels
    assert not panel.drawing
    assert [value for *_, value in panel.values] == ["up", "no data"]


@pytest.mark.parametrize("broken", ["{", "[]", '{"title": "x"}', "5"])
def test_a_damaged_panel_is_told_and_the_others_are_drawn(tmp_path: Path, broken: str) -> None:
    board = read(tmp_path, said(tmp_path, broken, PANEL))
    assert len(board.panels) == 1 and "lacks 1 panel" in board.trouble


def test_a_file_that_is_gone_or_outside_the_run_is_told(tmp_path: Path) -> None:
    gone = said(tmp_path, PANEL, file="samples/none.jsonl")
    assert "could not be read" in read(tmp_path, gone).trouble
    outside = said(tmp_path, PANEL, file="../other.jsonl")
    assert "outside" in read(tmp_path, outside).trouble


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.043, "s", "43 ms"),
        (0.951, "percentunit", "95.1 %"),
        (80.0, "percent", "80 %"),
        (92.0, "celsius", "92 °C"),
        (1.98e9, "hertz", "1,980 MHz"),
        (2.5, "reqps", "2.5 requests/s"),
        (15e6, "short", "15,000,000"),
        (None, "s", "no data"),
    ],
)
def test_numbers_are_written_in_their_unit(value: float | None, unit: str, words: str) -> None:
    assert shown(value, unit) == words
