"""maintain/load-and-eval: load and answers are measured by one command, kept, and compared."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import conformance
from harness.core.evidence import Evidence
from harness.core.run import CHECKOUT

COMMAND = (sys.executable, "-m", "harness.cli.main", "load-and-eval")
LOAD_S = 4
RUN_S = 240.0
MEASURED = {
    "query latency p50": "slo/latency",
    "query latency p95": "slo/latency",
    "share of failed requests": "slo/availability",
    "recall@5": "quality/retrieval",
    "MRR@10": "quality/retrieval",
}
BETTER = {"query latency p50": 0.0001, "query latency p95": 0.0001, "recall@5": 0.999}
"""What a month before may have been: so much better that no interval of now reaches it."""

OWN = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST", "RAGDRILL_RUN_ID")


@dataclass(frozen=True)
class Told:
    """How the command ended and what it said."""

    exit_code: int
    said: str


def run(results: Path, *arguments: str) -> Told:
    """Run the command with its results below ``results``."""
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    done = subprocess.run(
        [*COMMAND, f"--results={results}", *arguments],
        cwd=CHECKOUT,
        env={**environment, "COLUMNS": "200", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=RUN_S,
    )
    return Told(done.returncode, done.stdout)


def as_of(earlier: Path, made: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Keep a copy of a result as one of an earlier day, with ``change`` made to its measures."""
    earlier.mkdir()
    lines = []
    for line in (made / "run.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "case.measure":
            change(record)
        lines.append(json.dumps(record))
    (earlier / "run.jsonl").write_text("\n".join(lines) + "\n")
    (earlier / "result.json").write_bytes((made / "result.json").read_bytes())


def better(record: dict[str, Any]) -> None:
    """Make a measure as good as :data:`BETTER` says."""
    value = BETTER.get(record["name"])
    if value is not None:
        record |= {"value": value, "interval": [0.999 * value, 1.001 * value]}


def digest(directory: Path) -> str:
    """Return what says that a kept result is as it was."""
    kept = ("run.jsonl", "result.json")
    return hashlib.sha256(b"".join((directory / name).read_bytes() for name in kept)).hexdigest()


@conformance("maintain/load-and-eval", since="0.2")
@pytest.mark.timing
@pytest.mark.timeout(600)
def test_one_command_measures_keeps_and_says_what_got_worse(
    tmp_path: Path, evidence: Evidence
) -> None:
    """One command MUST put load on a target and evaluate its answers, keep both with the date, and
    say of every figure whether it is worse than the last time beyond the intervals of both."""
    results = tmp_path / "results"
    told = run(results, f"--load-seconds={LOAD_S}", "--corpus=sample")
    kept = sorted(results.glob("*/result.json"))
    evidence.require(
        "one command runs load and evaluation, and keeps one result with its date",
        told.exit_code in (0, 1) and len(kept) == 1 and kept[0].parent.name[:8].isdigit(),
        expected="exit code 0 (or 1: too short a load shows too little), one dated directory",
        actual=f"exit code {told.exit_code}, {len(kept)} kept; {told.said[-1200:]}",
    )
    made = kept[0].parent
    result = json.loads(kept[0].read_text())
    evidence.measure("seconds of load", LOAD_S, "s")
    figures = {(each["name"], each["case"].split("::")[0]): each for each in result["measures"]}
    bare = [
        name
        for name, slug in MEASURED.items()
        if not (figures.get((name, slug)) or {}).get("n")
        or not (figures[name, slug]["interval"] or name.endswith("p95"))
    ]
    evidence.require(
        "what is kept has latency, failures and the quality of the answers, with their intervals",
        not bare and (made / "index.html").exists(),
        expected=", ".join(MEASURED),
        actual=f"missing or without samples: {bare}" if bare else "each, and a page to read",
    )
    before = digest(made)
    as_of(results / "20200101T000000Z", made, lambda record: None)
    same = run(results, "--compare")
    evidence.require(
        "compared with a month like it, nothing is worse",
        same.exit_code == 0 and "worse:" not in same.said,
        expected="exit code 0",
        actual=f"exit code {same.exit_code}: {same.said[-800:]}",
    )
    as_of(results / "20200201T000000Z", made, better)
    # A load of a few seconds may bound no 95th percentile: what has no interval can't be worse.
    due = {name for name in BETTER if figures[name, MEASURED[name]]["interval"]}
    worse = run(results, "--compare")
    named = {name for name in MEASURED if f" {name}: " in worse.said.split("worse:", 1)[-1]}
    evidence.require(
        "compared with a better month, exactly what is worse beyond the intervals is named",
        worse.exit_code == 1 and named == due,
        expected=f"exit code 1, and {', '.join(sorted(due))}",
        actual=f"exit code {worse.exit_code}, and {', '.join(sorted(named)) or 'nothing'}",
    )
    evidence.require(
        "to compare changes no result",
        digest(made) == before and (made / "comparison.md").exists(),
        expected="the kept files as they were, and comparison.md beside them",
        actual=sorted(path.name for path in made.iterdir()),
    )
