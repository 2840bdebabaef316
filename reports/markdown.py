"""Writes the summary of a run as Markdown, for the summary of a CI step."""

from __future__ import annotations

import re

from harness.core.verdicts import Verdict
from reports.judgement import GLOSSARY, Judgement
from reports.leaks import leaks_of
from reports.model import Case
from reports.wording import duration, many, plain, quantity_beside, shorten, utc, value_text

MOST_CASES = 50
MOST_LEAKS = 3
"""Cases told in full; a CI system cuts a summary that is too long, and would cut it anywhere."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-!|~>@:])")
MARKS = {
    Verdict.PASS: "✅",
    Verdict.SKIP: "⏭️",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.FAIL: "❌",
    Verdict.ERROR: "⛔",
}


def render(judgement: Judgement) -> str:
    """Return the summary: verdict, counts, requirements, what went wrong, stand-ins."""
    run = judgement.run
    lines = [
        f"## {MARKS[judgement.verdict]} {str(judgement.verdict).upper()}: "
        f"{escape(judgement.headline)}",
        "",
    ]
    if judgement.problems:
        lines += ["The record of this run does not hold:", ""]
        lines += [f"- {escape(problem, 600)}" for problem in judgement.problems[:MOST_CASES]]
        more = len(judgement.problems) - MOST_CASES
        lines += [f"- … and {more} more, see index.html"] * (more > 0) + [""]
    lines += [f"- {escape(caveat, 1200)}" for caveat in judgement.caveats]
    lines += [f"- {fact}" for fact in _facts(judgement)] + [""]
    counts = judgement.counts
    words = [verdict for verdict, _ in GLOSSARY]
    lines += [
        "| " + " | ".join(f"{MARKS[word]} {word}" for word in words) + " |",
        "|" + " ---: |" * len(words),
        "| " + " | ".join(str(counts[word]) for word in words) + " |",
        "",
    ]
    if judgement.tallies:
        lines += [
            "| requirements | met | not met | not shown | of |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {escape(tally.level)} | {tally.met} | {tally.not_met} | {tally.not_shown} "
            f"| {tally.total} |"
            for tally in judgement.tallies
        ]
        lines.append("")
    bad = run.by_verdict(Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE)
    for case in bad[:MOST_CASES]:
        lines += _told(case)
    if len(bad) > MOST_CASES:
        lines += [f"… and {many(len(bad) - MOST_CASES, 'more case')}; all are in index.html.", ""]
    skipped = run.by_verdict(Verdict.SKIP)
    if skipped:
        lines += [f"### {MARKS[Verdict.SKIP]} Not run, so not shown", ""]
        lines += [
            f"- {code(case.id)}: {escape(case.message, 200)}" for case in skipped[:MOST_CASES]
        ]
        more = len(skipped) - MOST_CASES
        lines += [f"- … and {more} more, see index.html"] * (more > 0) + [""]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: object, longest: int = 400) -> str:
    """Return untrusted text as one line of Markdown that says just that text."""
    line = " ".join(shorten(plain(str(text)), longest).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(r"\\\1", line)


def code(text: object, longest: int = 400) -> str:
    """Return untrusted text as a code span, whatever backticks it holds."""
    line = " ".join(shorten(plain(str(text)), longest).split())
    longest_run = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest_run + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _facts(judgement: Judgement) -> list[str]:
    run, start = judgement.run, judgement.run.start
    if start is None:
        return ["The history does not say what was run."]
    said = (
        f"Target {code(start.target)}, driver {code(start.driver)}, profile {code(start.profile)}"
    )
    said += f", seed {code(start.seed)}, version {code(start.version)}"
    commit = start.git.get("commit")
    said += f", commit {code(str(commit)[:12])}" if commit else ", commit unknown"
    when = utc(run.started_at or 0)
    took = f", took {duration(round(run.seconds, 1))}" if run.seconds is not None else ""
    return [said + ".", f"Began {escape(when)}{took}."]


def _told(case: Case) -> list[str]:
    said = case.deciding
    lines = [f"### {MARKS[case.verdict]} {case.verdict}: {code(case.id)}", ""]
    lines.append(f"{escape(case.title)}")
    lines += ["", f"- decided by: {escape(case.message)}"]
    if said is not None:
        if said.expected is not None:
            lines.append(f"- expected: {code(value_text(said.expected, 400))}")
        if said.actual is not None:
            lines.append(f"- actual: {code(value_text(said.actual, 400))}")
        if said.active_faults:
            lines.append(f"- faults on: {escape(', '.join(map(str, said.active_faults)))}")
    for leak in leaks_of(case.bad_observations)[:MOST_LEAKS]:
        came = f"{leak.before}{leak.marker}{leak.after}"
        lines.append(f"- leaked to {code(leak.asker)}: {code(came)} of {code(leak.whose)}")
        if leak.request:
            lines.append(f"  - by {escape(leak.probe)}: {code(leak.request, 1000)}")
    for measure in case.measures[:6]:
        text = quantity_beside(measure.value, measure.limit, measure.unit)
        if measure.limit is not None:
            text += f" (limit {quantity_beside(measure.limit, measure.value, measure.unit)})"
        lines.append(f"- {escape(measure.name)}: {escape(text)}")
    if said is not None and said.rerun:
        lines.append(f"- again: {code(said.rerun)}")
    return [*lines, ""]
