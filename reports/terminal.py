"""Prints the outcome of a run on a terminal: the same verdict as the page, in less room."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.core.events import Measure
from harness.core.verdicts import Verdict
from reports.judgement import GLOSSARY, Judgement
from reports.model import Case
from reports.wording import duration, plain, quantity_beside, shorten, utc, value_text

MOST_CASES = 20
"""Cases told in full; the page tells all."""

_STYLE = {
    Verdict.PASS: "green",
    Verdict.SKIP: "bright_black",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.FAIL: "red",
    Verdict.ERROR: "magenta",
}
_SIGN = {
    Verdict.PASS: "✓",
    Verdict.SKIP: "–",
    Verdict.INCONCLUSIVE: "?",
    Verdict.FAIL: "✗",
    Verdict.ERROR: "!",
}


def print_summary(judgement: Judgement, console: Console, page: str = "") -> None:
    """Print the summary; ``page`` is where the full report lies."""
    # Nothing may be cut off at the edge: a command is printed whole for the terminal to wrap.
    console.print(summary(judgement, page), crop=False)


def summary(judgement: Judgement, page: str = "") -> RenderableType:
    """Return the summary. Text of the target is printed as text, never read as markup."""
    run = judgement.run
    parts: list[RenderableType] = [Text()]
    bad = run.by_verdict(Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE)
    for case in bad[:MOST_CASES]:
        parts += [_case(judgement, case), Text()]
    if len(bad) > MOST_CASES:
        parts += [Text(f"… and {len(bad) - MOST_CASES} more, see the page"), Text()]
    skipped = run.by_verdict(Verdict.SKIP)
    for case in skipped[:MOST_CASES]:
        line = _verdict(Verdict.SKIP)
        line.append(f"  {plain(case.id)}", style="bold")
        line.append(f"  {_line(case.message, 160)}", style="bright_black")
        parts.append(line)
    if len(skipped) > MOST_CASES:
        parts.append(Text(f"… and {len(skipped) - MOST_CASES} more that did not run"))
    if skipped:
        parts.append(Text())
    parts += [_headline(judgement), _numbers(judgement)]
    parts += [_bullet(problem, "magenta") for problem in judgement.problems[:MOST_CASES]]
    if len(judgement.problems) > MOST_CASES:
        parts.append(Text(f"  … and {len(judgement.problems) - MOST_CASES} more, see the page"))
    parts += [_bullet(caveat, "yellow") for caveat in judgement.caveats]
    if page:
        parts.append(Text(f"  Report: {page}"))
    return Group(*parts)


def _headline(judgement: Judgement) -> Text:
    style = _STYLE[judgement.verdict]
    text = Text(f" {str(judgement.verdict).upper()} ", style=f"bold reverse {style}")
    text.append(f" {judgement.headline}", style="bold not reverse default")
    return text


def _numbers(judgement: Judgement) -> RenderableType:
    counts = judgement.counts
    text = Text("  ")
    for verdict, _ in GLOSSARY:
        style = _STYLE[verdict] if counts[verdict] else "bright_black"
        text.append(f"{_SIGN[verdict]} {verdict} {counts[verdict]}   ", style=style)
    start, run = judgement.run.start, judgement.run
    lines: list[RenderableType] = [text, *(_bullet(line, "default") for line in judgement.shown)]
    if start is not None:
        took = f", {duration(round(run.seconds, 1))}" if run.seconds is not None else ""
        when = utc(run.started_at) if run.started_at is not None else ""
        lines.append(
            _bullet(
                f"Target {start.target}, driver {start.driver}, profile {start.profile}, "
                f"seed {start.seed}, {when}{took}",
                "default",
            )
        )
    return Group(*lines)


def _case(judgement: Judgement, case: Case) -> RenderableType:
    said = case.deciding
    head = _verdict(case.verdict)
    head.append(f"  {plain(case.id)}", style="bold")
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(style="bright_black", no_wrap=True, width=12)
    grid.add_column(overflow="fold", ratio=1)
    rows = [
        ("requirement", _line(case.title, 400)),
        ("decided by", shorten(plain(case.message), 1200)),
    ]
    if said is not None:
        if said.expected is not None:
            rows.append(("expected", value_text(said.expected, 600)))
        if said.actual is not None:
            rows.append(("actual", value_text(said.actual, 600)))
        faults = ", ".join(plain(str(fault)) for fault in said.active_faults)
        rows.append(("faults on", faults or "none"))
    rows += [("measured", _measured(measure)) for measure in case.measures[:6]]
    if judgement.run.start is not None:
        rows.append(("seed", str(judgement.run.start.seed)))
    for name, text in rows:
        if text:
            grid.add_row(Text(name), Text(plain(text)))
    parts: list[RenderableType] = [head, Padding(grid, (0, 0, 0, 2))]
    if said is not None and said.rerun:
        # Left to the terminal to wrap, so that the command can be copied whole.
        again = Text("  again         ", style="bright_black", no_wrap=True, overflow="ignore")
        parts.append(again.append(_line(said.rerun, 1000), style="not dim default"))
    return Group(*parts)


def _measured(measure: Measure) -> str:
    value = quantity_beside(measure.value, measure.limit, measure.unit)
    if measure.limit is None:
        return f"{measure.name}: {value}"
    limit = quantity_beside(measure.limit, measure.value, measure.unit)
    return f"{measure.name}: {value} (limit {limit})"


def _verdict(verdict: Verdict) -> Text:
    return Text(f"{_SIGN[verdict]} {str(verdict).upper()}", style=f"bold {_STYLE[verdict]}")


def _bullet(text: str, style: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("  •", style=style), Text(plain(text)))
    return grid


def _line(text: str, longest: int) -> str:
    return " ".join(shorten(plain(text), longest).split())
