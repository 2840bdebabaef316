"""One case from start to verdict: what ended it decides between fail, error and the rest."""

from __future__ import annotations

import shlex
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.core.errors import NotAllowed
from harness.core.events import CaseStart, CaseVerdict
from harness.core.evidence import Evidence, Inconclusive, NotConformant
from harness.core.history import History
from harness.core.run import CHECKOUT, Run
from harness.core.verdicts import Verdict, worst
from harness.plugin.collection import Case, case_of

RUN_KEY = pytest.StashKey[Run]()
HISTORY_KEY = pytest.StashKey[History]()
EVIDENCE_KEY = pytest.StashKey[Evidence]()
_PROGRESS_KEY = pytest.StashKey["_Progress"]()

FAULTS_ATTRIBUTE = "__ragdrill_active_faults__"
"""Set on an exception by every fault that it passes through on its way out."""


@dataclass
class _Ending:
    """How one phase of a case ended."""

    verdict: Verdict
    message: str = ""
    expected: object = None
    actual: object = None
    faults: list[str] = field(default_factory=list)


@dataclass
class _Progress:
    started: float
    endings: list[_Ending] = field(default_factory=list)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Write the start of a case and give it its evidence."""
    case = case_of(item)
    history = item.config.stash.get(HISTORY_KEY, None)
    if case is None or history is None:
        return
    item.stash[EVIDENCE_KEY] = Evidence(case.id, history)
    item.stash[_PROGRESS_KEY] = _Progress(time.monotonic())
    history.write(
        CaseStart(
            case=case.id,
            slug=case.slug,
            title=case.title,
            nodeid=case.nodeid,
            needs=list(case.needs.permissions),
            roles=list(case.needs.roles),
        )
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.Result[pytest.TestReport], None]:  # type: ignore[name-defined]
    """Turn how a phase ended into a verdict, and the last phase into the case's."""
    outcome = yield
    report = outcome.get_result()
    case = case_of(item)
    progress = item.stash.get(_PROGRESS_KEY, None)
    if case is None or progress is None:
        return
    ending = _ending(item, call, report)
    if ending is not None:
        progress.endings.append(ending)
        report.ragdrill = ending.verdict.value
        if ending.verdict not in (Verdict.PASS, Verdict.SKIP):
            trace = f"\n\n{report.longreprtext}" if ending.verdict is Verdict.ERROR else ""
            report.outcome = "failed"
            report.longrepr = _explain(item, case, ending, call) + trace
    if report.when == "teardown":
        _conclude(item, case, progress)


def _ending(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> _Ending | None:
    """Return how the phase ended, or ``None`` for a set-up or tear-down with nothing to say."""
    if call.excinfo is None:
        if report.when != "call":
            return None
        if item.stash[EVIDENCE_KEY].shown == 0:
            return _Ending(
                Verdict.ERROR,
                "The case ended without showing anything: it recorded no expectation and no check.",
            )
        return _Ending(Verdict.PASS)
    error = call.excinfo.value
    faults = list(getattr(error, FAULTS_ATTRIBUTE, []))
    if isinstance(error, pytest.skip.Exception | NotAllowed):
        if isinstance(error, NotAllowed):
            report.longrepr = (str(item.path), 0, f"Skipped: {error}")
            report.outcome = "skipped"
        return _Ending(Verdict.SKIP, str(error))
    if isinstance(error, NotConformant) and report.when == "call":
        return _Ending(Verdict.FAIL, error.what, error.expected, error.actual, faults)
    if isinstance(error, Inconclusive) and report.when == "call":
        return _Ending(Verdict.INCONCLUSIVE, error.what, error.expected, error.actual, faults)
    where = Path(call.excinfo.traceback[-1].path)
    asserted = isinstance(error, AssertionError) and report.when == "call"
    # An assertion that broke inside the harness or a library is our error, not the target's.
    if asserted and where == item.path:
        return _Ending(Verdict.FAIL, str(error) or "assertion of the case", faults=faults)
    text = str(error) or type(error).__name__
    return _Ending(Verdict.ERROR, f"{report.when}: {type(error).__name__}: {text}", faults=faults)


def _conclude(item: pytest.Item, case: Case, progress: _Progress) -> None:
    verdict = worst(ending.verdict for ending in progress.endings)
    told = next((e for e in progress.endings if e.verdict is verdict), _Ending(verdict))
    item.config.stash[HISTORY_KEY].write(
        CaseVerdict(
            case=case.id,
            slug=case.slug,
            verdict=verdict.value,
            seconds=time.monotonic() - progress.started,
            message=told.message,
            rerun=rerun_command(case.id, item.config.stash[RUN_KEY].seed),
            active_faults=told.faults,
            expected=told.expected,
            actual=told.actual,
        )
    )


def rerun_command(case: str, seed: int) -> str:
    """Return the command that runs this case again with the same randomness."""
    return f"ragdrill verify --case {shlex.quote(case)} --seed {seed}"


def _explain(item: pytest.Item, case: Case, ending: _Ending, call: pytest.CallInfo[None]) -> str:
    """Say requirement, expectation, what came, active faults, seed and how to run it again."""
    seed = item.config.stash[RUN_KEY].seed
    lines = [("requirement", case.title), ("decided by", ending.message)]
    if ending.expected is not None:
        lines.append(("expected", str(ending.expected)))
    if ending.actual is not None:
        lines.append(("actual", str(ending.actual)))
    lines.append(("faults on", ", ".join(ending.faults) or "none"))
    where = _line_in_case(item, call)
    if where:
        lines.append(("where", where))
    lines += [("seed", str(seed)), ("again", rerun_command(case.id, seed))]
    body = "\n".join(f"  {name:<12} " + text.replace("\n", "\n" + " " * 15) for name, text in lines)
    return f"{ending.verdict.value.upper()}  {case.id}\n{body}"


def _line_in_case(item: pytest.Item, call: pytest.CallInfo[None]) -> str:
    if call.excinfo is None:
        return ""
    shown = item.path.relative_to(CHECKOUT) if item.path.is_relative_to(CHECKOUT) else item.path
    for entry in reversed(list(call.excinfo.traceback)):
        if Path(entry.path) == item.path:
            return f"{shown}:{entry.lineno + 1}"
    return ""
