"""``ragdrill load-and-eval``: the monthly load test and evaluation, kept and compared."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.core.errors import HarnessError, UsageError
from harness.core.run import CHECKOUT
from harness.core.verdicts import ExitCode
from reports import comparison
from reports.comparison import Comparison
from reports.judgement import Judgement, judge
from reports.model import load

CASES = (
    "slo/latency::p95_stays_within_the_objective",
    "slo/availability::failures_stay_within_the_error_budget",
    "quality/retrieval::labelled_questions_find_their_answers",
)
RESULT, COMPARED = "result.json", "comparison.md"
RESULTS = CHECKOUT / "runs" / "load-and-eval"
SCHEMA = 1
_STAMP = re.compile(r"\d{8}T\d{6}Z(-\d+)?")

_DESCRIPTION = """\
Puts the reference load of real questions on the target, evaluates the answers to the labelled ones,
keeps both with the date below --results, and says what is worse than the last time there by more
than the confidence intervals allow. What is kept: run.jsonl with the raw samples, index.html,
result.json (the figures) and comparison.md.

exit codes:
  0  the objectives hold, and nothing is worse than the last time
  1  an objective does not hold or was not shown, or something is worse
  2  the target could not be booted, reached or measured
  4  usage; with --compare also: there are not two results to compare
  5  nothing was shown
"""


@dataclass(frozen=True)
class Kept:
    """A result that is kept: its directory and what ``result.json`` says."""

    directory: Path
    told: dict[str, Any]

    @property
    def conditions(self) -> tuple[object, ...]:
        """What two results must share to be compared: the target, the corpus and the load."""
        return tuple(self.told.get(name) for name in ("target", "corpus", "load_seconds"))


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "load-and-eval",
        help="load test and evaluation in one run, kept and compared with the last one",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", type=Path, metavar="FILE", help="a target file (TOML)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR",
        help="where results are kept (default: runs/load-and-eval)",
    )  # fmt: skip
    parser.add_argument(
        "--load-seconds", type=float, metavar="S",
        help="one round of load of so many seconds (default: what the objectives need)",
    )  # fmt: skip
    parser.add_argument(
        "--corpus", choices=("built", "sample"), default="built",
        help="documents and questions: what make setup built (default), or the committed sample",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="store_true",
        help="run nothing: compare the last result with the one before",
    )  # fmt: skip
    parser.set_defaults(handler=load_and_eval, passes_on=True)


def load_and_eval(options: argparse.Namespace) -> int:
    """Run, keep and compare; returns the exit code.

    Raises:
        UsageError: there are not two results to compare. HarnessError: the result can't be kept.
    """
    results: Path = options.results.resolve()
    if options.compare:
        kept = kept_in(results)
        if len(kept) < 2:
            raise UsageError(
                "There are not two results to compare.",
                expected=f"two directories with {RESULT} in {results}",
                actual=len(kept),
                next_step="run ragdrill load-and-eval without --compare",
            )
        return _compared(kept[-1], kept[:-1])
    directory = _fresh(results)
    code = subprocess.run(_command(options, directory), cwd=CHECKOUT, check=False).returncode
    if not (directory / "run.jsonl").exists():
        return code or ExitCode.HARNESS_ERROR
    made = keep(directory, options.corpus, options.load_seconds)
    if code not in (ExitCode.PASS, ExitCode.NOT_CONFORMANT):
        return code
    worse = _compared(made, kept_in(results, before=directory))
    return code or worse


def _command(options: argparse.Namespace, directory: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--verbosity=1", f"--run-dir={directory}"]
    command += [f"--case={case}" for case in CASES]
    command.append(f"--corpus={options.corpus}")
    if options.load_seconds is not None:
        command.append(f"--load-seconds={options.load_seconds:g}")
    if options.target is not None:
        command.append(f"--target={options.target.resolve()}")
    return [*command, *options.rest]


def _fresh(results: Path) -> Path:
    """Return a directory for a result of now.

    Raises:
        HarnessError: it can't be made.
    """
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        results.mkdir(parents=True, exist_ok=True)
        taken = {path.name for path in results.iterdir()}
    except OSError as error:
        raise HarnessError(
            "Results can't be kept there.", expected=f"a directory: {results}", actual=str(error)
        ) from error
    number = 2
    name = stamp
    while name in taken:
        name, number = f"{stamp}-{number}", number + 1
    return results / name


def keep(directory: Path, corpus: str, load_seconds: float | None) -> Kept:
    """Write the figures of a finished run beside its history.

    Raises:
        HarnessError: its history can't be read, or the file not be written.
    """
    judgement = judge(load(directory))
    told = {"schema": SCHEMA, "corpus": corpus, "load_seconds": load_seconds, **figures(judgement)}
    path = directory / RESULT
    try:
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise HarnessError(
            "The result can't be kept.", expected=f"a file: {path}", actual=str(error)
        ) from error
    return Kept(directory, told)


def figures(judgement: Judgement) -> dict[str, Any]:
    """Return what a run measured, with intervals, and under which conditions."""
    start, began = judgement.run.start, judgement.run.started_at or 0.0
    return {
        "date": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "target": start.target if start else None,
        "version": start.version if start else None,
        "commit": start.git.get("commit") if start else None,
        "verdict": str(judgement.verdict),
        "cases": {name: str(case.verdict) for name, case in judgement.run.cases.items()},
        "measures": [
            {
                "case": case.id,
                "name": each.name,
                "value": each.value,
                "unit": each.unit,
                "n": each.n,
                "interval": each.interval,
                "level": each.level,
                "limit": each.limit,
                "side": each.side,
            }
            for case in judgement.run.cases.values()
            for each in case.measures
        ],
    }


def kept_in(results: Path, *, before: Path | None = None) -> list[Kept]:
    """Return the kept results in the order of their dates; ``before`` and later ones are left out.

    A directory without a readable ``result.json`` is a run that was cut off, and no result.
    """
    found = []
    for path in sorted(results.glob(f"*/{RESULT}")):
        name = path.parent.name
        if not _STAMP.fullmatch(name) or (before is not None and name >= before.name):
            continue
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and told.get("schema") == SCHEMA:
            found.append(Kept(path.parent, told))
    return found


def _compared(made: Kept, earlier: list[Kept]) -> int:
    """Say what became worse since the last result under the same conditions; 1 if anything did."""
    alike = [each for each in earlier if each.conditions == made.conditions]
    console = Console(highlight=False)
    if not alike:
        told = ", ".join(str(each) for each in made.conditions)
        console.print(f"Kept in {made.directory}; none before it of ({told}) to compare with.")
        return ExitCode.PASS
    found = comparison.compare(alike[-1].directory, made.directory)
    console.print(comparison.table(found))
    comparison.write_markdown(found, made.directory / COMPARED)
    worse = what_got_worse(found)
    for line in worse:
        console.print(f"worse: {line}", markup=False, soft_wrap=True)
    console.print(f"Kept in {made.directory}; compared with {alike[-1].directory.name}.")
    return ExitCode.NOT_CONFORMANT if worse else ExitCode.PASS


def what_got_worse(found: Comparison) -> list[str]:
    """Return one line for each measure or verdict that got worse beyond its noise.

    Of the figures of these cases that have no limit (other percentiles) less is better.
    """
    return [
        f"{change.case} {change.what}: {change.before}, now {change.after}".strip()
        for change in (*found.verdicts, *found.measures)
        if change.worse or (change.word.startswith("+") and change.word.endswith("beyond noise"))
    ]
