"""Writes the review of an incident in the shape of the guide's template (section 10).

Everything in it is read off the history and the samples: each time is that of a record, each number
a count of samples, each lesson a check that was made. What only people can know (who does what
until when) is left to them, and says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.core.events import Observation
from harness.core.verdicts import Verdict
from reports import impact, scenario
from reports.model import Case, Fault, Run, parse_verdict
from reports.sampling import read_samples
from reports.wording import duration, many, plain, shorten, utc, value_text

_SPECIAL = re.compile(r"([\\`*\[\]|~])|(?<!\w)_|_(?!\w)")
MOST_NAMED = 3
"""Faults that a sentence can name; the timeline names them all."""

TO_BE_NAMED = "to be named"
TO_BE_SET = "to be set"


@dataclass(frozen=True)
class Review:
    """A written review: the ``name`` of its file, and its ``text`` (Markdown)."""

    case: str
    name: str
    text: str


def reviews(run: Run) -> list[Review]:
    """Return the review of every incident of a run: of each case that put a fault on in a scenario,
    by id of the case."""
    found = []
    for case in sorted(run.cases.values(), key=lambda case: case.id):
        files = [read_samples(run.directory, said) for said in case.samples]
        built = scenario.build(run, case, files)
        if built is not None:
            found.append(Review(case.id, file_name(case.id), _write(run, built)))
    return found


def file_name(case_id: str) -> str:
    """Return ``review-<id>.md`` with an id that is safe in a path and distinct for each case."""
    plain_id = re.sub(r"[^A-Za-z0-9]+", "-", case_id).strip("-")
    return f"review-{plain_id}.md"


def escape(text: object, longest: int = 400) -> str:
    """Return untrusted text as one line that says just that, rendered and read as it stands alike.

    Unlike the escape of the CI summary it leaves alone what means nothing within a line.
    """
    line = " ".join(shorten(plain(str(text)), longest).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", line)


def _write(run: Run, built: scenario.Scenario) -> str:
    case, arm = built.case, built.arms[0]
    faults = [f for f in case.faults if f.arm in (arm.name, "")]
    felt = impact.impact_of(run, arm, built.limit)
    sections = (
        ("Summary", [_summary(arm, faults, case)]),
        ("Timeline (UTC)", _timeline(arm)),
        ("Impact", _impact(felt)),
        ("Root Cause", _cause(arm, faults)),
        ("Lessons Learned", _lessons(case)),
        ("Action Items", _actions(case)),
    )
    started = f"`{plain(case.id)}`, {utc(arm.zero)}, target {_target(run)}"
    lines = [f"## Incident review: {escape(case.name.replace('_', ' '))}", "", started, ""]
    for title, body in sections:
        lines += [f"### {title}", "", *body, ""]
    lines.append(f"### Tags: {', '.join(_tags(case, arm, faults))}")
    return "\n".join(lines) + "\n"


def _target(run: Run) -> str:
    return escape(run.start.target) if run.start is not None else "not recorded"


def _summary(arm: scenario.Arm, faults: list[Fault], case: Case) -> str:
    what = " and ".join(escape(str(fault)) for fault in faults) or "A fault without a record"
    if len(faults) > MOST_NAMED:
        what = f"the first of {many(len(faults), 'fault')}, {escape(str(faults[0]))},"
    told = _first(arm.alerts, "delivered")
    first = f"At {_clock(arm, 0)} UTC {what} began"
    if told is None:
        first += ", and no alert was delivered."
    else:
        name = escape(told.what.rpartition(" ")[0])
        first += f", and {name} was delivered {duration(told.at)} later."
    acted = [step for step in arm.steps if step.stage == "action" and step.ok]
    if arm.recovered is not None and acted:
        how = "before" if arm.recovered_under_fault else "after"
        second = (
            f"After {many(len(acted), 'playbook step')} the objective was met again "
            f"{duration(arm.recovered)} after the beginning, {how} the fault was undone."
        )
    elif acted:
        second = (
            f"{many(len(acted), 'playbook step')} ran; the verdict on the incident is "
            f"{case.verdict}."
        )
    else:
        second = f"No playbook step ran; the verdict on the incident is {case.verdict}."
    return f"{first} {second}"


def _timeline(arm: scenario.Arm) -> list[str]:
    return [
        f"* {_clock(arm, moment.at)} – {'✕ ' if _bad_news(moment) else ''}{escape(moment.what)}"
        for moment in arm.moments
    ]


def _bad_news(moment: scenario.Moment) -> bool:
    """A condition that does not hold is no bad news: it says where not to act."""
    return moment.ok is False and moment.stage != "condition"


def _clock(arm: scenario.Arm, at: float) -> str:
    """Return a moment's time of day, with tenths: steps of a machine follow fast."""
    t = datetime.fromtimestamp(arm.zero + at, UTC)
    return t.strftime("%H:%M:%S") + f".{t.microsecond // 100_000}"


def _first(moments: tuple[scenario.Moment, ...], state: str) -> scenario.Moment | None:
    return next((moment for moment in moments if moment.state == state and moment.at >= 0), None)


def _impact(felt: impact.Impact) -> list[str]:
    lines = [
        f"* Duration: {duration(felt.seconds)}, {felt.until}",
        _requests(felt),
        f"* Tenants touched: {', '.join(map(escape, felt.tenants)) or 'none seen'}",
    ]
    for spent in felt.budgets:
        lines.append(
            f"* Error budget, {escape(spent.objective)}: {spent.bad:,} of {felt.asked:,} requests"
            f" were bad where {spent.allowed:.1%} may be, {spent.rate:.1f} times what can go on for"
            f" ever; that is {spent.share:.4%} of the budget of {spent.window_days:g} days at this"
            " rate of requests"
        )
    if not felt.budgets:
        lines.append("* Error budget: not to be told, the run recorded no objective or no sample")
    return lines


def _requests(felt: impact.Impact) -> str:
    if not felt.asked:
        return "* Requests meanwhile: none were recorded"
    told = f"* Requests meanwhile: {felt.asked:,}, of which {felt.failed:,} failed"
    slow = f" and {felt.slow:,} were slower than {duration(felt.limit)}" if felt.limit else ""
    return told + slow


def _cause(arm: scenario.Arm, faults: list[Fault]) -> list[str]:
    if not faults:
        return ["Not recorded: no fault was put on in this arm."]
    lines = ["```", *[_diagram(fault) for fault in faults], "```", ""]
    for fault in faults:
        arguments = ", ".join(f"{k} {value_text(v, 80)}" for k, v in fault.arguments.items())
        seen = "its effect was seen on the data path" if fault.landed else "its effect was not seen"
        lines.append(
            f"The fault {escape(fault.name)} was put on {escape(fault.on)} on purpose "
            f"({escape(arguments) or 'no arguments'}); {seen}"
            + (f": {escape(value_text(fault.proof, 400))}." if fault.proof else ".")
        )
    return lines


def _diagram(fault: Fault) -> str:
    source, _, target = plain(fault.on).partition("-")
    hit = f"✕ {plain(fault.name)}"
    return f"{source} ──{hit}──▶ {target}" if target else f"[ {source} ] {hit}"


def _lessons(case: Case) -> list[str]:
    worked = [o for o in case.observations if parse_verdict(o.verdict) is Verdict.PASS]
    lines = ["- What worked"]
    lines += [f"  - {escape(seen.what, 300)}" for seen in worked] or ["  - nothing was shown to"]
    lines.append("- What didn’t")
    lines += [f"  - {_bad(seen)}" for seen in case.bad_observations]
    if not case.bad_observations:
        lines.append("  - no check was red")
    return lines


def _bad(seen: Observation) -> str:
    told = f"{escape(seen.what, 300)} ({seen.verdict})"
    if seen.expected is not None or seen.actual is not None:
        told += f": expected {escape(value_text(seen.expected, 200))}"
        told += f", came {escape(value_text(seen.actual, 200))}"
    return told


def _actions(case: Case) -> list[str]:
    tasks = [f"Mend: {seen.what}" for seen in case.bad_observations]
    if not tasks and case.verdicts and case.verdict is not Verdict.PASS:
        tasks = [f"Find out: {case.message.splitlines()[0]}" if case.message else "Find out why"]
    lines = ["| Owner | Task | Date |", "|-------|------|------|"]
    for task in tasks:
        cell = escape(shorten(plain(task), 300)).replace("\n", " ")
        lines.append(f"| {TO_BE_NAMED} | {cell} | {TO_BE_SET} |")
    return lines if tasks else [*lines, "| – | none: no check was red | – |"]


def _tags(case: Case, arm: scenario.Arm, faults: list[Fault]) -> list[str]:
    tags = ["reliability"]
    words = " ".join([case.slug, *(alert.what for alert in arm.alerts)]).lower()
    for tag, marks in (
        ("security", ("isolation", "leak", "security", "key")),
        ("latency", ("latency",)),
        ("errors", ("error", "5xx", "availability")),
        ("data", ("recovery", "backup", "restore", "durability")),
    ):
        if any(mark in words for mark in marks):
            tags.append(tag)
    tags += [plain(fault.name) for fault in faults]
    return list(dict.fromkeys(tags))
