"""Writes what a run did not show as annotations that GitHub's runners put beside the code."""

from __future__ import annotations

from harness.core.verdicts import Verdict
from reports.judgement import Judgement
from reports.model import Case
from reports.wording import many, plain, shorten, value_text

MOST = 10
"""Annotations of one level that GitHub shows for a step; it drops what comes after them."""

LEVELS = (
    ("error", (Verdict.ERROR, Verdict.FAIL)),
    ("warning", (Verdict.INCONCLUSIVE,)),
    ("notice", (Verdict.SKIP,)),
)


def render(judgement: Judgement) -> str:
    """Return one workflow command a line, the worst first; empty when every case passed.

    The last of a level that has more than GitHub shows says how many are not listed.
    """
    lines = []
    for level, verdicts in LEVELS:
        told = [_of(case) for case in judgement.run.by_verdict(*verdicts)]
        if level == "error":
            told = [("", "the record of this run", each) for each in judgement.problems] + told
        if len(told) > MOST:
            rest = many(len(told) - MOST + 1, "more case")
            told = [*told[: MOST - 1], ("", rest, "index.html of this run lists all of them")]
        lines += [_line(level, *each) for each in told]
    return "".join(f"{line}\n" for line in lines)


def _of(case: Case) -> tuple[str, str, str]:
    said = case.deciding
    parts = [case.message]
    if said is not None and said.expected is not None:
        parts.append(f"expected: {value_text(said.expected, 300)}")
    if said is not None and said.actual is not None:
        parts.append(f"actual: {value_text(said.actual, 300)}")
    if said is not None and said.rerun:
        parts.append(f"again: {said.rerun}")
    return case.nodeid.partition("::")[0], f"{case.verdict}: {case.id}", "\n".join(parts)


def _line(level: str, file: str, title: str, text: str) -> str:
    properties = {"file": file, "title": title}
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{level} {told}::{_data(shorten(plain(text), 2000))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")
