"""Writes a run as JUnit XML for the test views of CI systems.

Only a pass is green: fail and inconclusive become failures, error an error, skip a skipped test.
What speaks against the record of the run is a test case of its own, so that a run which was cut
off cannot look whole.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from harness.core.verdicts import Verdict
from reports.judgement import Judgement
from reports.model import Case
from reports.wording import plain, utc, value_text

_ELEMENT = {
    Verdict.FAIL: "failure",
    Verdict.INCONCLUSIVE: "failure",
    Verdict.ERROR: "error",
    Verdict.SKIP: "skipped",
}


def render(judgement: Judgement) -> bytes:
    """Return the XML, UTF-8, one test suite per area of the guide and one for the run itself."""
    run = judgement.run
    root = ET.Element("testsuites", name=_title(judgement))
    areas: dict[str, list[Case]] = {}
    for requirement in run.requirements.values():
        for case in requirement.cases:
            areas.setdefault(requirement.area, []).append(case)
    for area, cases in areas.items():
        _suite(root, judgement, area, cases)
    _own_suite(root, judgement)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", _time(run.seconds or 0.0))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _suite(root: ET.Element, judgement: Judgement, area: str, cases: list[Case]) -> None:
    suite = ET.SubElement(root, "testsuite", name=_safe(area), tests=str(len(cases)))
    kinds = [_ELEMENT.get(case.verdict) for case in cases]
    suite.set("failures", str(kinds.count("failure")))
    suite.set("errors", str(kinds.count("error")))
    suite.set("skipped", str(kinds.count("skipped")))
    suite.set("time", _time(sum(case.seconds for case in cases)))
    _stamp(suite, judgement)
    for case in cases:
        element = ET.SubElement(
            suite,
            "testcase",
            classname=_safe(case.slug.replace("/", ".")),
            name=_safe(case.name),
            time=_time(case.seconds),
        )
        kind = _ELEMENT.get(case.verdict)
        if kind is None:
            continue
        result = ET.SubElement(element, kind, message=_safe(_first_line(case)))
        result.set("type", str(case.verdict))
        result.text = _safe(_body(judgement, case))


def _own_suite(root: ET.Element, judgement: Judgement) -> None:
    """Add the run itself as a test: an error where its record does not hold, else a failure if
    nothing passed, because many CI systems call a run of skipped tests a success."""
    broken = bool(judgement.problems)
    empty = not broken and not judgement.counts[Verdict.PASS]
    suite = ET.SubElement(
        root,
        "testsuite",
        name="run",
        tests="1",
        failures="1" if empty else "0",
        errors="1" if broken else "0",
        skipped="0",
        time="0.000",
    )
    _stamp(suite, judgement)
    properties = ET.SubElement(suite, "properties")
    for name, value in _facts(judgement):
        ET.SubElement(properties, "property", name=_safe(name), value=_safe(value))
    case = ET.SubElement(
        suite, "testcase", classname="run", name="record_holds_and_shows_something"
    )
    case.set("time", "0.000")
    if broken:
        error = ET.SubElement(case, "error", message=_safe(judgement.problems[0]), type="error")
        error.text = _safe("\n".join(judgement.problems))
    elif empty:
        ET.SubElement(case, "failure", message=_safe(judgement.headline), type="skip")


def _facts(judgement: Judgement) -> list[tuple[str, str]]:
    run = judgement.run
    facts = [("verdict", str(judgement.verdict))]
    if run.start is not None:
        facts += [
            (name, value_text(getattr(run.start, name)))
            for name in ("run_id", "profile", "driver", "target", "seed", "version")
        ]
        facts.append(("commit", value_text(run.start.git.get("commit", ""))))
    facts += [
        (
            f"component.{part.role}",
            f"{part.software} {part.version}" + " (stand-in)" * part.stand_in,
        )
        for part in run.components
    ]
    return facts


def _first_line(case: Case) -> str:
    """Return the one line that a CI system shows beside the name of the test."""
    lines, said = case.message.strip().splitlines(), case.deciding
    text = lines[0] if lines else str(case.verdict)
    if said is None or (said.expected is None and said.actual is None):
        return text
    return f"{text} (expected {value_text(said.expected, 120)}, got {value_text(said.actual, 120)})"


def _body(judgement: Judgement, case: Case) -> str:
    said = case.deciding
    lines = [("requirement", case.title), ("decided by", case.message)]
    if said is not None and said.expected is not None:
        lines.append(("expected", value_text(said.expected)))
    if said is not None and said.actual is not None:
        lines.append(("actual", value_text(said.actual)))
    if said is not None and said.active_faults:
        lines.append(("faults on", ", ".join(map(str, said.active_faults))))
    if judgement.run.start is not None:
        lines.append(("seed", str(judgement.run.start.seed)))
    if said is not None and said.rerun:
        lines.append(("again", said.rerun))
    return "\n".join(f"{name}: {text}" for name, text in lines)


def _stamp(suite: ET.Element, judgement: Judgement) -> None:
    if judgement.run.started_at is not None:
        stamp = utc(judgement.run.started_at).removesuffix(" UTC").replace(" ", "T")
        suite.set("timestamp", stamp)


def _title(judgement: Judgement) -> str:
    start = judgement.run.start
    return _safe(f"ragdrill {start.profile} on {start.target}" if start else "ragdrill")


def _safe(text: str) -> str:
    return plain(str(text))


def _time(seconds: float) -> str:
    return f"{max(0.0, seconds):.3f}"
