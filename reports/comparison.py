"""Compares two runs: what got better, what got worse, and what lies within the noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.core.errors import HarnessError
from harness.core.events import Measure
from harness.core.verdicts import Verdict
from reports.judgement import Judgement, judge
from reports.markdown import code, escape
from reports.model import load
from reports.wording import number, plain, quantity, quantity_beside, value_text

NOISE = (
    "A change is beyond the noise when the two intervals do not touch; without intervals on "
    "both sides it cannot be told."
)


@dataclass(frozen=True)
class Change:
    """One line of a comparison; ``word`` says what became of it, ``worse`` is for the exit code."""

    case: str
    what: str
    before: str
    after: str
    word: str
    worse: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side; ``unlike`` names conditions that differ, so that the difference of
    the runs need not come from the target."""

    before: Judgement
    after: Judgement
    unlike: tuple[Change, ...]
    components: tuple[Change, ...]
    verdicts: tuple[Change, ...]
    measures: tuple[Change, ...]

    @property
    def worse(self) -> bool:
        """Whether a verdict got worse, or a measure with a limit did so beyond its noise."""
        return self.after.verdict.rank > self.before.verdict.rank or any(
            change.worse for change in (*self.verdicts, *self.measures)
        )


def compare(before_dir: Path, after_dir: Path) -> Comparison:
    """Compare the runs in two directories.

    Raises:
        HarnessError: one of them holds no readable history.
    """
    before, after = judge(load(before_dir)), judge(load(after_dir))
    return Comparison(
        before,
        after,
        tuple(_changed(_conditions(before), _conditions(after))),
        tuple(_changed(_components(before), _components(after))),
        tuple(_verdicts(before, after)),
        tuple(_measures(before, after)),
    )


def table(found: Comparison) -> RenderableType:
    """Return the comparison for a terminal."""
    parts: list[RenderableType] = [*(Text(line, style="bold") for line in _titles(found)), Text()]
    for heading, changes in _sections(found):
        parts.append(Text(heading, style="bold"))
        if not changes:
            parts += [Text("  no difference", style="bright_black"), Text()]
            continue
        parts.append(_grid([Change("", "", "before", "after", "change")], "bright_black"))
        for case, group in groupby(changes, key=lambda change: change.case):
            if case:
                parts.append(Text(f"  {plain(case)}", style="bright_black"))
            parts.append(_grid(group))
        parts.append(Text())
    return Group(*parts, Text(NOISE, style="bright_black"))


def _grid(changes: Iterable[Change], style: str = "") -> Table:
    """Return rows whose columns line up with those of every other grid of the same width."""
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for ratio in (5, 6, 6, 4):
        grid.add_column(overflow="fold", ratio=ratio)
    for change in changes:
        grid.add_row(
            Text(f"  {plain(change.what)}", style=style),
            Text(plain(change.before), style=style),
            Text(plain(change.after), style=style),
            Text(change.word, style="bold red" if change.worse else style),
        )
    return grid


def markdown(found: Comparison) -> str:
    """Return the comparison as Markdown."""
    lines = ["## Before and after", "", *(f"- {escape(line)}" for line in _titles(found)), ""]
    for heading, changes in _sections(found):
        lines += [f"### {heading}", ""]
        if not changes:
            lines += ["No difference.", ""]
            continue
        lines += ["| | before | after | change |", "| --- | --- | --- | --- |"]
        for change in changes:
            name = escape(change.what)
            if change.case:
                # A bar ends a cell of a table even inside a code span.
                name = code(change.case).replace("|", "\\|") + f" {name}"
            word = f"**{change.word}**" if change.worse else change.word
            lines.append(f"| {name} | {escape(change.before)} | {escape(change.after)} | {word} |")
        lines.append("")
    return "\n".join([*lines, NOISE]) + "\n"


def write_markdown(found: Comparison, path: Path) -> None:
    """Write the comparison to ``path``.

    Raises:
        HarnessError: the file could not be written.
    """
    try:
        path.write_text(markdown(found), encoding="utf-8", errors="replace")
    except OSError as error:
        raise HarnessError(
            "The comparison could not be written.",
            expected=f"a file that can be written: {path}",
            actual=str(error),
        ) from error


def _titles(found: Comparison) -> list[str]:
    return [
        f"Before: {found.before.verdict}. {found.before.headline}",
        f"After:  {found.after.verdict}. {found.after.headline}",
    ]


def _sections(found: Comparison) -> list[tuple[str, tuple[Change, ...]]]:
    return [
        ("Conditions that differ", found.unlike),
        ("Components", found.components),
        ("Verdicts", found.verdicts),
        ("Measures", found.measures),
    ]


def _conditions(judgement: Judgement) -> dict[str, str]:
    start = judgement.run.start
    if start is None:
        return {}
    told = {
        name: value_text(getattr(start, name))
        for name in ("target", "driver", "profile", "seed", "time_scale", "version")
    }
    told["commit"] = value_text(start.git.get("commit", "unknown"))
    return told | {f"host {name}": value_text(value) for name, value in start.host.items()}


def _components(judgement: Judgement) -> dict[str, str]:
    return {
        part.role: f"{part.software} {part.version}" + (" (stand-in)" if part.stand_in else "")
        for part in judgement.run.components
    }


def _changed(before: dict[str, str], after: dict[str, str]) -> Iterable[Change]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, "none"), after.get(name, "none")
        if old != new:
            yield Change("", name, old, new, "differs")


def _verdicts(before: Judgement, after: Judgement) -> Iterable[Change]:
    for case_id in sorted({*before.run.cases, *after.run.cases}):
        old, new = before.run.cases.get(case_id), after.run.cases.get(case_id)
        if old is not None and new is not None:
            if old.verdict is new.verdict:
                continue
            worse = new.verdict.rank > old.verdict.rank
            word = "worse" if worse else "better"
            yield Change("", case_id, str(old.verdict), str(new.verdict), word, worse)
        elif old is not None:
            lost = old.verdict is Verdict.PASS
            yield Change("", case_id, str(old.verdict), "not in the run", "no longer shown", lost)
        elif new is not None:
            yield Change("", case_id, "not in the run", str(new.verdict), "new")


def _measures(before: Judgement, after: Judgement) -> Iterable[Change]:
    old, new = _named_measures(before), _named_measures(after)
    for key in sorted({*old, *new}):
        yield _measure_change(key, old.get(key), new.get(key))


def _named_measures(judgement: Judgement) -> dict[tuple[str, str, int], Measure]:
    """Return measures by case, name and how many of that name came before in the case."""
    found: dict[tuple[str, str, int], Measure] = {}
    for case in judgement.run.cases.values():
        for measure in case.measures:
            same = sum(1 for known in found if known[:2] == (case.id, measure.name))
            found[case.id, measure.name, same] = measure
    return found


def _measure_change(key: tuple[str, str, int], old: Measure | None, new: Measure | None) -> Change:
    case, name, index = key
    what = f"{name} ({index + 1})" if index else name
    if old is None or new is None:
        there = "only after" if old is None else "only before"
        return Change(case, what, _told(old, new), _told(new, old), there)
    told = _told(old, new), _told(new, old)
    if old.unit != new.unit:
        return Change(case, what, *told, f"units differ ({old.unit}, {new.unit})")
    difference = _difference(old, new)
    before, after = _interval(old), _interval(new)
    if before is None or after is None:
        return Change(case, what, *told, f"{difference}; noise unknown")
    (old_low, old_high), (new_low, new_high) = before, after
    if old_low <= new_high and new_low <= old_high:
        return Change(case, what, *told, f"{difference}; within noise")
    if new.limit is None:
        return Change(case, what, *told, f"{difference}; beyond noise")
    worse = (new.value > old.value) == (new.side == "max")
    return Change(case, what, *told, f"{difference}; {'worse' if worse else 'better'}", worse)


def _interval(measure: Measure) -> tuple[float, float] | None:
    """Return the interval, or ``None`` if there is none or an end of it is not a number."""
    if not measure.interval or len(measure.interval) != 2:
        return None
    low, high = measure.interval
    return (low, high) if low <= measure.value <= high else None


def _told(measure: Measure | None, other: Measure | None) -> str:
    if measure is None:
        return "none"
    beside = other.value if other is not None and other.unit == measure.unit else None
    text = quantity_beside(measure.value, beside, measure.unit)
    ends = _interval(measure)
    if ends is None:
        return text
    return f"{text} [{quantity(ends[0], measure.unit)} to {quantity(ends[1], measure.unit)}]"


def _difference(old: Measure, new: Measure) -> str:
    if old.value == new.value:
        return "same"
    if not old.value:
        return "up" if new.value > old.value else "down"
    percent = (new.value - old.value) / abs(old.value) * 100
    sign = "+" if percent > 0 else ""
    return f"{sign}{number(percent, 3)} %"
