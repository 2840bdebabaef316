"""The terminal and the Markdown summary say what the page says, and quote a target safely."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from synthetic_run import Maker, full, passing_run

from harness.core.verdicts import Verdict
from reports import markdown, terminal
from reports.judgement import Judgement, judge
from reports.model import load


def printed(found: Judgement, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    terminal.print_summary(found, console, "runs/x/index.html")
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_says_what_the_page_says(tmp_path: Path, width: int) -> None:
    found = judge(load(full(tmp_path)))
    text = printed(found, width)
    assert f"ERROR  {found.headline}" in text
    for part in ("error 1", "fail 2", "inconclusive 1", "skip 3", "pass 11", "runs/x/index.html"):
        assert part in text
    flat = " ".join(text.split())
    assert found.shown[0] in flat
    assert "stand-ins for vectordb (qdrant-edge), pager (refstack pager)" in flat


def test_a_command_is_printed_whole_whatever_the_width(tmp_path: Path) -> None:
    text = printed(judge(load(full(tmp_path))), 60)
    command = (
        "ragdrill verify --case"
        " 'recovery/round-trip::restore_brings_back_identical_content' --seed 20261122"
    )
    assert command in text


def test_the_terminal_lists_what_speaks_against_the_record(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.passing("slo/latency::p95", "p95")
    text = printed(judge(load(tmp_path)))
    assert "ERROR  The run was cut off before its end" in text
    assert "no run.verdict" in text


def test_a_pass_is_one_screen(tmp_path: Path) -> None:
    text = printed(judge(load(passing_run(tmp_path))))
    assert "PASS  All 2 cases passed." in text
    assert len(text.splitlines()) < 20


def test_a_target_cannot_style_the_terminal(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start(target="[red]x[/red]")
    make.begin("slo/latency::p95")
    make.end("slo/latency::p95", "fail", message="[bold]\x1b[2J loud [/nonsense]")
    make.finish()
    text = printed(judge(load(tmp_path)))
    assert "[bold] loud [/nonsense]" in text
    assert "[red]x[/red]" in text
    assert "\x1b" not in text


def test_the_markdown_opens_with_the_verdict(tmp_path: Path) -> None:
    text = markdown.render(judge(load(full(tmp_path))))
    assert text.startswith("## ⛔ ERROR: 1 of 18 cases could not be judged; 2 failed")
    assert "| 1 | 2 | 1 | 3 | 11 |" in text
    assert "| MUST | 9 | 2 | 5 | 16 |" in text
    assert "stand\\-ins for vectordb" in text


@pytest.mark.parametrize("verdict", [each for each in Verdict if each is not Verdict.PASS])
def test_only_a_pass_gets_the_check_mark(tmp_path: Path, verdict: Verdict) -> None:
    make = Maker(tmp_path)
    make.start()
    make.begin("slo/latency::p95")
    make.end("slo/latency::p95", verdict.value, message="why")
    make.finish()
    first = markdown.render(judge(load(tmp_path))).splitlines()[0]
    assert "✅" not in first
    assert verdict.value.upper() in first


def test_a_target_cannot_write_markdown(tmp_path: Path) -> None:
    evil = "<b>x</b> [a](http://e) `code` | ## h\n# heading\n- @team"
    make = Maker(tmp_path)
    make.start(target=evil)
    make.begin("slo/latency::p95", evil)
    make.end("slo/latency::p95", "fail", message=evil, expected=evil, actual="```")
    make.finish()
    text = markdown.render(judge(load(tmp_path)))
    assert "\\[a\\]\\(http\\://e\\)" in text
    assert not [line for line in text.splitlines() if line.startswith(("# heading", "- @"))]
    assert "&lt;b>x" in text.replace("\\>", ">")
    assert "- actual: ```` ``` ````" in text


def test_a_summary_of_very_many_failures_stays_short(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    for number in range(300):
        make.begin(f"slo/latency::case_{number:03}")
        make.end(f"slo/latency::case_{number:03}", "fail", message="x" * 5000)
    make.finish()
    found = judge(load(tmp_path))
    text = markdown.render(found)
    assert len(text.encode()) < 100_000
    assert "250 more cases" in text
    assert "… and 280 more, see the page" in printed(found)
