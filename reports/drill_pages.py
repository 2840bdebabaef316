"""Writes a drill's evidence pack: ``drill.html`` to read and sign, ``drill.md`` to file."""

from __future__ import annotations

from harness.core.verdicts import Verdict
from reports.drill import CARRIED, Drill, Step
from reports.html import environment
from reports.markdown import MARKS, code, escape
from reports.wording import duration, many, quantity, quantity_beside, shorten, utc, value_text

SIGNERS = ("Operator of the drill", "Service owner", "Witness or auditor")


def html(drill: Drill) -> str:
    """Return the page: no script, no request to anywhere, the same bytes for the same run."""
    run = drill.judgement.run
    return (
        environment()
        .get_template("drill.html.j2")
        .render(
            drill=drill,
            judgement=drill.judgement,
            start=run.start,
            bars=_bars(drill.steps, run.last_at),
        )
    )


def markdown(drill: Drill) -> str:
    """Return the same pack as Markdown."""
    return "\n".join(
        [
            f"# {MARKS[drill.verdict]} {str(drill.verdict).upper()}: {escape(drill.headline)}",
            "",
            *_about(drill),
            *_objectives(drill),
            *_steps(drill),
            *_backup(drill),
            *_discrepancies(drill),
            *_compared(drill),
            *_components(drill),
            *_sign_off(drill),
        ]
    )


def _bars(steps: list[Step], last_at: float | None) -> dict[str, tuple[float, float] | None]:
    """Return begin and length of each step as shares of the whole, in per cent; a step that was
    cut off lasts until the last record of the run."""
    ends = [s.ended_at if s.ended_at or s.began_at is None else last_at for s in steps]
    first = min((s.began_at for s in steps if s.began_at is not None), default=0.0)
    whole = max((end for end in ends if end is not None), default=first) - first
    found: dict[str, tuple[float, float] | None] = {}
    for step in steps:
        if step.began_at is None or step.state == CARRIED or whole <= 0:
            found[step.name] = None
            continue
        length = (step.ended_at or first + whole) - step.began_at
        share = 100 / whole
        found[step.name] = (
            round((step.began_at - first) * share, 2),
            round(max(length, 0.0) * share, 2),
        )
    return found


def _about(drill: Drill) -> list[str]:
    run, start = drill.judgement.run, drill.judgement.run.start
    lines = [f"- {escape(problem, 600)}" for problem in drill.judgement.problems]
    if drill.case.verdict is not Verdict.PASS:
        lines.append(f"- Decided by: {escape(drill.case.message, 1200)}")
    lines += [f"- {escape(caveat, 1200)}" for caveat in drill.judgement.caveats]
    lines += ["", "## Who, when, from what", ""]
    lines.append(f"- Operator: {escape(drill.operator or 'not given')}")
    lines.append(f"- Began: {escape(utc(drill.began_at))}; took {duration(drill.seconds)} in steps")
    if start is not None:
        lines.append(f"- Target: {escape(start.target)}, driver {escape(start.driver)}")
        commit = str(start.git.get("commit", "unknown"))[:14]
        dirty = ", with uncommitted changes" if start.git.get("dirty") else ""
        lines.append(
            f"- Run: {code(start.run_id)}, seed {start.seed}, commit {code(commit)}{dirty}, "
            f"version {escape(start.version)}"
        )
    if drill.resumed_from:
        lines.append(f"- Resumes: {code(drill.resumed_from)}, which was interrupted")
    lines.append(f"- Record: {code('run.jsonl')}, SHA-256 {code(drill.history_sha256)}")
    lines += [f"- {note.level.capitalize()}: {escape(note.text, 600)}" for note in run.notes]
    return [*lines, ""]


def _objectives(drill: Drill) -> list[str]:
    lines = ["## Objectives", ""]
    if not drill.objectives:
        lines += ["Nothing was measured against an objective: the drill did not come that far.", ""]
    else:
        lines += [
            "| objective | measured | limit | held | how |",
            "| --- | ---: | ---: | --- | --- |",
        ]
    for objective in drill.objectives:
        measure = objective.measure
        bound = "at least" if measure.side == "min" else "at most"
        limit = quantity_beside(measure.limit, measure.value, measure.unit)
        lines.append(
            f"| {escape(measure.name)} | "
            f"{escape(quantity_beside(measure.value, measure.limit, measure.unit))} | "
            f"{bound} {escape(limit)} | {MARKS[objective.verdict]} {objective.verdict} | "
            f"{escape(measure.method)} |"
        )
    lines += [""] * bool(drill.objectives)
    lines += [
        f"- {escape(measure.name)}: {escape(quantity(measure.value, measure.unit))}"
        for measure in drill.figures
    ]
    return [*lines, ""]


def _steps(drill: Drill) -> list[str]:
    lines = [
        "## Steps",
        "",
        "| state | step | began (UTC) | took | allowed | found |",
        "| --- | --- | --- | ---: | --- | --- |",
    ]
    for step in drill.steps:
        began = utc(step.began_at)[11:19] if step.began_at is not None else "—"
        took = duration(round(step.seconds, 2)) if step.seconds is not None else "—"
        allowed = f"{duration(step.limit)}, {step.source}" if step.limit is not None else "—"
        lines.append(
            f"| {MARKS[step.verdict]} {step.state}{', too slow' if step.late else ''} | "
            f"{escape(step.title)} | {escape(began)} | {escape(took)} | {escape(allowed)} | "
            f"{escape(shorten(step.told, 500), 1200)} |"
        )
    return [*lines, ""]


def _backup(drill: Drill) -> list[str]:
    lines = ["## The backup", ""]
    backup = drill.backup
    if backup is None:
        return [*lines, "The drill did not come as far as a backup.", ""]
    lines.append(f"- Place: {code(f'{backup.bucket}/{backup.name}')}, {escape(backup.origin)}")
    if backup.began:
        lines.append(f"- Made: {escape(backup.began)} to {escape(backup.ended or '?')}")
    lines += [f"- {escape(part)}: {escape(value)}" for part, value in backup.versions.items()]
    lines += ["", "| object | size | SHA-256 | verified |", "| --- | ---: | --- | --- |"]
    for each in backup.objects:
        size = quantity(each["bytes"], "bytes") if each.get("bytes") is not None else "—"
        mark = MARKS[Verdict.PASS if each.get("verified") else Verdict.FAIL]
        lines.append(
            f"| {code(each.get('name', '?'))} | {escape(size)} | "
            f"{code(each.get('sha256') or '—')} | {mark} |"
        )
    return [*lines, ""]


def _discrepancies(drill: Drill) -> list[str]:
    lines = ["## Discrepancies", ""]
    for found in drill.discrepancies:
        lines += [f"### {MARKS[found.verdict]} {found.verdict}: {escape(found.where)}", ""]
        if found.expected is not None:
            lines.append(f"- expected: {code(value_text(found.expected, 400))}")
        if found.actual is not None:
            lines.append(f"- actual: {code(value_text(found.actual, 400))}")
        if found.details:
            lines.append(f"- details: {code(value_text(found.details, 1500), 1600)}")
        lines.append("")
    if not drill.discrepancies:
        told = f"None among {many(drill.compared, 'thing')} compared."
        lines += [told if drill.compared else "None, but nothing was compared either.", ""]
    if drill.unreached:
        titles = "; ".join(step.title for step in drill.unreached)
        lines += [f"Not reached, so not shown: {escape(titles, 2000)}.", ""]
    return lines


def _compared(drill: Drill) -> list[str]:
    lines = ["## What was compared", "", "| verdict | what | expected | actual |"]
    lines.append("| --- | --- | --- | --- |")
    for seen in drill.case.observations:
        expected = "—" if seen.expected is None else code(_cell(seen.expected), 240)
        actual = "—" if seen.actual is None else code(_cell(seen.actual), 240)
        lines.append(f"| {escape(seen.verdict)} | {escape(seen.what)} | {expected} | {actual} |")
    return [*lines, ""]


def _components(drill: Drill) -> list[str]:
    lines = [
        "## Components",
        "",
        "| role | software | version | kind |",
        "| --- | --- | --- | --- |",
    ]
    for part in drill.judgement.run.components:
        kind = "stand-in" if part.stand_in else "real"
        lines.append(
            f"| {escape(part.role)} | {escape(part.software)} | {escape(part.version)} | {kind} |"
        )
    return [*lines, ""]


def _sign_off(drill: Drill) -> list[str]:
    lines = [
        "## Sign-off",
        "",
        "- [ ] Accepted as evidence that the service can be restored.",
        "- [ ] Accepted with actions for the discrepancies, each with an owner and a date.",
        "- [ ] Not accepted: the drill is to be repeated.",
        "",
        "| role | name | date | signature |",
        "| --- | --- | --- | --- |",
    ]
    for number, role in enumerate(SIGNERS):
        lines.append(f"| {role} | {escape(drill.operator) if not number else ''} | | |")
    return [*lines, ""]


def _cell(value: object) -> str:
    # A bar would end the cell, even inside a code span.
    return value_text(value, 200).replace("|", "¦")
