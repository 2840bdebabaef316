"""recovery/rto: the record of a drill that fails tells what happened, and as much as any other."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import minio
import pytest

from fixtures.bucket import Backups, flipped
from fixtures.drill import STEPS, Drill
from fixtures.drill_order import Order
from fixtures.drill_steps import Rehearsed
from fixtures.recovery import Recovery
from harness import conformance, needs
from harness.core import events
from harness.core.evidence import Evidence, NotConformant
from harness.core.guide import load_recovery_objectives
from harness.core.history import HISTORY_FILE, History
from harness.core.run import Run
from reports.rendering import render

DRILL = "recovery/rto::disaster_recovery_drill"
SECTIONS = (
    *("Who, when, from what", "Objectives", "Steps", "The backup", "Discrepancies"),
    *("What was compared", "Components", "Sign-off"),
)
OF_THE_RUN = ("run.start", "requirement", "component", "stack.ready")
BEATS = 3
TOLD_S = 1.0
"""A report may round to whole seconds."""
CLOCK_S = 1.0
"""Between our reading of the clock and the drill's, on either side of a step."""


@dataclass
class Watched:
    """A drill that is watched from outside: when each step was let begin, and when it was over."""

    drill: Drill
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    problem: str = ""

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Let the drill take a step; what ends it ends the drill, not this case."""
        if self.problem:
            yield {}
            return
        began = time.time()
        try:
            with self.drill.step(name) as found:
                yield found
        except NotConformant as error:
            self.problem = f"{error}: {error.actual}"
        self.times[name] = (began, time.time())


@conformance("recovery/rto", since="0.2")
@needs("read", "write", "destroy", roles=["edge", "gateway", "vectordb", "metadata", "objectstore"])
@pytest.mark.timeout(240)
def test_a_drill_that_fails_tells_what_happened_and_as_much_as_any_other(
    recovery: Callable[[], Recovery],
    objectstore: minio.Minio,
    backups: Backups,
    run: Run,
    history: History,
    evidence: Evidence,
    tmp_path: Path,
) -> None:
    """A drill whose backup turns out to be damaged MUST end as failed before anything is destroyed,
    with a report as complete as any other: steps and times as they were, the checksums of what lies
    in the bucket, and the reason."""
    record = History(tmp_path, redactor=history.redactor)
    for line in (run.directory / HISTORY_FILE).read_text().splitlines():
        if json.loads(line)["kind"] in OF_THE_RUN:
            with (tmp_path / HISTORY_FILE).open("a") as copy:
                copy.write(line + "\n")
    record.write(events.RunSelected([DRILL]))
    record.write(events.CaseStart(DRILL, "recovery/rto", "A drill", "suites/recovery"))
    own = Evidence(DRILL, record)
    watched = Watched(Drill(own, record, replace(run, directory=tmp_path), lambda line: None))
    steps = Rehearsed(
        watched.drill, own, recovery(), Order(None, None, None), objectstore, beats=BEATS
    )
    began = time.time()
    with watched.step("prepare") as found:
        steps.prepare(found)
    with watched.step("backup") as found:
        steps.backup(found)
    steps.record_backup(verified=False)
    keys = [each["name"] for each in watched.drill.facts["objects"]]
    spoiled = next(key for key in keys if key.endswith(".snapshot"))
    sums = {key: hashlib.sha256(backups.read(key).data).hexdigest() for key in keys}
    with backups.changed(spoiled, flipped(backups.read(spoiled).data)), watched.step("verify") as f:
        steps.verify(f)
    steps.recovery.heartbeat.stop()
    verdict = "fail" if watched.problem else "pass"
    seconds = time.time() - began
    record.write(events.CaseVerdict(DRILL, "recovery/rto", verdict, seconds, watched.problem))
    record.write(events.RunVerdict(verdict, {verdict: 1}, 1 if watched.problem else 0, seconds))
    record.close()
    render(tmp_path)
    evidence.require(
        "a drill whose backup is damaged fails at its verification, and says why",
        "another SHA-256" in watched.problem,
        expected=f"{spoiled} has another SHA-256",
        actual=watched.problem or "the drill went on",
    )
    _require_steps(evidence, watched, _recorded(tmp_path))
    page, text = (tmp_path / "drill.html").read_text(), (tmp_path / "drill.md").read_text()
    missing = [
        f"{section} ({kind})"
        for section in SECTIONS
        for kind, there in (
            ("html", f">{section}</h2>" in page),
            ("md", f"\n## {section}\n" in text),
        )
        if not there
    ]
    evidence.require(
        "the report of a failed drill has every section", not missing, expected=[], actual=missing
    )
    evidence.require(
        "the report opens with the failure and tells its reason",
        "The drill failed" in page.split("</h1>")[0]
        and text.startswith("# ❌ FAIL")
        and all("another SHA-256" in each for each in (page, text)),
        expected="failed, with the reason",
        actual=text.partition("\n")[0],
    )
    _require_timeline(evidence, watched, _table(text, "Steps"))
    _require_backup(evidence, sums, page, _table(text, "The backup"))
    _require_objective(evidence, watched, _table(text, "Objectives"))


def _recorded(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / HISTORY_FILE).read_text().splitlines()
    return [each for each in map(json.loads, lines) if each["kind"] == "drill.step"]


def _require_steps(evidence: Evidence, watched: Watched, recorded: list[dict[str, Any]]) -> None:
    """The record has each step as it went, at the time at which it went."""
    wanted = [("prepare", "done"), ("backup", "done"), ("verify", "failed")]
    ends = [each for each in recorded if each["state"] != "began"]
    evidence.require(
        "the record says which steps were done and which failed",
        [(each["step"], each["state"]) for each in ends] == wanted,
        expected=wanted,
        actual=[(each["step"], each["state"]) for each in ends],
    )
    for each in ends:
        began, ended = watched.times[each["step"]]
        first = next(e["t"] for e in recorded if e["step"] == each["step"])
        evidence.require(
            f"the record of {each['step']} has the times at which it was",
            began <= first <= each["t"] <= ended
            and abs(each["seconds"] - (each["t"] - first)) < CLOCK_S,
            expected={"between": [began, ended]},
            actual={"began": first, "ended": each["t"], "seconds": each["seconds"]},
        )


def _require_timeline(evidence: Evidence, watched: Watched, rows: list[list[str]]) -> None:
    """The page has every step of the plan, in order, at its time."""
    titles = [title for _, title, _ in STEPS]
    evidence.require(
        "the report lists every step of the plan",
        [row[1] for row in rows] == titles,
        expected=titles,
        actual=[row[1] for row in rows],
    )
    for (name, _, _), (state, _, at, took, *_) in zip(STEPS, rows, strict=True):
        if name not in watched.times:
            evidence.require(
                f"{name} is told as not reached, without a time",
                "not reached" in state and (at, took) == ("—", "—"),
                expected="not reached",
                actual=(state, at, took),
            )
            continue
        began, ended = watched.times[name]
        possible = {
            f"{datetime.fromtimestamp(second, UTC):%H:%M:%S}"
            for second in range(int(began), int(ended) + 1)
        }
        evidence.require(
            f"the report has {name} at its time",
            at in possible and _in_seconds(took) <= ended - began + TOLD_S,
            expected={"began": sorted(possible), "took at most": round(ended - began, 2)},
            actual=(at, took),
        )


def _require_backup(
    evidence: Evidence, sums: Mapping[str, str], page: str, rows: list[list[str]]
) -> None:
    """The page has the checksum of everything in the bucket, and nothing as verified."""
    told = {row[0].strip("`"): row[2].strip("`") for row in rows}
    evidence.require(
        "the report has the SHA-256 of each object as it lies in the bucket",
        told == dict(sums) and all(each in page for each in sums.values()),
        expected=dict(sums),
        actual=told,
    )
    verified = [row[0] for row in rows if "✅" in row[3]]
    evidence.require(
        "no object counts as verified that was not", not verified, expected=[], actual=verified
    )


def _require_objective(evidence: Evidence, watched: Watched, rows: list[list[str]]) -> None:
    """The page holds the backup against the guide's own limit."""
    limit = load_recovery_objectives()["backup"].seconds
    found = next((row for row in rows if row[0] == "backup of both stores"), None)
    seconds = watched.drill.facts["backup_seconds"]
    evidence.require(
        "the report holds the duration of the backup against the guide's limit",
        found is not None
        and _in_seconds(found[2]) == limit
        and abs(_in_seconds(found[1]) - seconds) <= TOLD_S,
        expected=f"{seconds:.3g} s, at most {limit} s",
        actual=found,
    )


def _in_seconds(told: str) -> float:
    """Return a length of time that a report tells ("1 min 5 s") in seconds."""
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
    found = re.findall(r"([\d.]+) (ms|s|min|h)\b", told)
    return sum(float(number) * units[unit] for number, unit in found) if found else math.nan


def _table(text: str, section: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    after = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in after.splitlines() if line.startswith("|")]
    return [
        [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines[2:]
    ]
