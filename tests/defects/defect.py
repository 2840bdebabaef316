"""What a seeded defect says of itself, and the run that must catch it."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
CATALOGUE = HERE / "catalogue"


@dataclass(frozen=True)
class Defect:
    """One deliberate bug.

    ``sentence`` (the module's docstring) says what is broken, ``catches`` is the id of the case
    that must catch it, ``reason`` a pattern that the case's message must match, ``verdict`` what
    the case must say (``fail`` unless the bug is in the harness itself).
    """

    name: str
    sentence: str
    module: str
    catches: str
    reason: str
    verdict: str = "fail"


@dataclass(frozen=True)
class Outcome:
    """What a run with the defect gave: whether the defect was loaded, verdict and message."""

    loaded: bool
    verdict: str
    message: str
    output: str
    seconds: float


def load_catalogue() -> list[Defect]:
    """Read every defect of the catalogue without running it (each is loaded only where it acts).

    Raises:
        ValueError: a defect lacks its docstring or a constant.
    """
    found = []
    for path in sorted(CATALOGUE.glob("*.py")):
        tree = ast.parse(path.read_text())
        constants: dict[str, Any] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    constants[node.targets[0].id] = ast.literal_eval(node.value)
                except ValueError:
                    continue
        sentence = ast.get_docstring(tree)
        missing = [k for k in ("MODULE", "CATCHES", "REASON") if k not in constants]
        if not sentence or missing:
            raise ValueError(f"{path.name}: needs a docstring and {missing or 'nothing else'}")
        found.append(
            Defect(
                path.stem,
                " ".join(sentence.split()),
                constants["MODULE"],
                constants["CATCHES"],
                constants["REASON"],
                constants.get("VERDICT", "fail"),
            )
        )
    return found


def part_of_the_day(defects: list[Defect], share: int, day: int) -> list[Defect]:
    """Return every ``share``-th defect, beginning with another one each ``day``.

    All of them have been tried after ``share`` days in a row.
    """
    return [defect for number, defect in enumerate(defects) if (number + day) % share == 0]


def run_with(defect: Defect | None, cases: list[str], directory: Path, timeout_s: float) -> Outcome:
    """Run ``cases`` with the defect switched on; the outcome is that of the first case.

    The run is a process group of its own that is interrupted, then killed, when it takes too long.
    """
    log = directory / "loaded.txt"
    directory.mkdir(parents=True)
    environment = dict(os.environ)
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    if defect is not None:
        environment["RAGDRILL_DEFECT"] = defect.name
        environment["RAGDRILL_DEFECT_LOG"] = str(log)
        inherited = [p for p in (environment.get("PYTHONPATH"),) if p]
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE / "inject"), *inherited])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    command += [f"--run-dir={directory / 'run'}", "--seed=20", "--timeout=300"]
    command += [f"--case={case}" for case in cases]
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        output += f"\n(ended after {timeout_s:.0f} s)"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return _outcome(cases[0], directory / "run" / "run.jsonl", log, output)


def _outcome(case: str, history: Path, log: Path, output: str) -> Outcome:
    verdict, message, seconds = "none", "", 0.0
    if history.exists():
        for line in history.read_text().splitlines():
            record = json.loads(line)
            if record["kind"] == "case.verdict" and record["case"] == case:
                told = [record["message"], record.get("expected"), record.get("actual")]
                verdict, seconds = record["verdict"], record["seconds"]
                message = " | ".join(str(part) for part in told if part is not None)
    return Outcome(log.exists(), verdict, message, output, seconds)


def caught(defect: Defect, outcome: Outcome) -> str:
    """Return "" when the named case caught the defect for the stated reason, else what is wrong."""
    if not outcome.loaded:
        return f"the defect never took effect: {defect.module} was not imported by any process"
    if outcome.verdict != defect.verdict:
        return f"{defect.catches} says {outcome.verdict}, and {defect.verdict} was claimed"
    if not re.search(defect.reason, outcome.message, re.IGNORECASE | re.DOTALL):
        return f"caught for another reason than /{defect.reason}/: {outcome.message}"
    return ""
