"""The run's life: directories, the one owner of the stack, hand-over to workers, the last word."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import __version__
from harness.core.errors import HarnessError, UsageError
from harness.core.events import (
    CaseVerdict,
    Note,
    ObjectiveKnown,
    RequirementKnown,
    RunSelected,
    RunStart,
    RunVerdict,
)
from harness.core.guide import load_objectives, load_requirements, load_waivers
from harness.core.history import History, read_history
from harness.core.run import CHECKOUT, Run, new_run
from harness.core.target import TargetFile, load_target
from harness.core.verdicts import ExitCode, Verdict, exit_code, worst
from harness.plugin.collection import PROBLEM_KEY, case_of, needs_target
from harness.plugin.options import is_conformance_run, is_distributed, is_worker
from harness.plugin.owner import StackOwner, worker_stack
from harness.plugin.running import HISTORY_KEY, RUN_KEY, rerun_command

STACK_KEY = pytest.StashKey[Any]()
"""Holds a function without arguments that returns the stack of this process."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin a conformance run in the controller, or join one in a worker."""
    if is_worker(config):
        handed: str | None = getattr(config, "workerinput", {}).get("ragdrill")
        if handed is not None:
            run = Run.from_json(handed)
            _join(config, run, History(run.directory, worker=config.workerinput["workerid"]))  # type: ignore[attr-defined]
            config.stash[STACK_KEY] = worker_stack(run, config.stash[HISTORY_KEY])
        return
    if is_conformance_run(config):
        try:
            config.pluginmanager.register(Controller(config), "ragdrill-controller")
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
        except HarnessError as error:
            pytest.exit(str(error), returncode=ExitCode.HARNESS_ERROR)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down what is about to run (once), so that what never ran is seen to be missing."""
    config = session.config
    history = config.stash.get(HISTORY_KEY, None)
    if history is None or is_distributed(config) or history.worker not in ("main", "gw0"):
        return
    problem = config.stash.get(PROBLEM_KEY, None)
    if problem is not None:
        (config.stash[RUN_KEY].scratch / "usage-error.txt").write_text(problem)
        return
    cases = [case.id for item in session.items if (case := case_of(item)) is not None]
    history.write(RunSelected(cases=cases))


def _join(config: pytest.Config, run: Run, history: History) -> None:
    config.stash[RUN_KEY] = run
    config.stash[HISTORY_KEY] = history


class Controller:
    """Hooks of the process that owns the run: the only one, or the controller of workers."""

    def __init__(self, config: pytest.Config) -> None:
        target_path: Path | None = config.getoption("target")
        target = load_target(target_path) if target_path else TargetFile()
        self.config = config
        self.began = time.monotonic()
        self.owner = StackOwner(
            target=target,
            driver=config.getoption("driver") or target.target.driver,
            progress=self._say,
        )
        self.run = new_run(
            profile=config.getoption("profile") or "ci",
            driver=self.owner.driver_name,
            target=target.target.name,
            seed=config.getoption("seed"),
            time_scale=config.getoption("time_scale"),
            directory=config.getoption("run_dir"),
        )
        self.history = History(self.run.directory)
        self.code: int | None = None
        _join(config, self.run, self.history)
        config.stash[STACK_KEY] = self._stack
        _write_start(self.run, self.history, config)

    def _say(self, line: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)

    def _stack(self) -> Any:
        try:
            return self.owner.stack(self.run, self.history)
        except HarnessError as error:
            self.history.write(Note(level="warning", text=str(error)))
            pytest.exit(f"The target did not come up.\n{error}", returncode=ExitCode.HARNESS_ERROR)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Boot before any worker starts."""
        if is_distributed(self.config):
            self._stack()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, None]:
        """Boot before the first case where there are no workers, if one asks for the target."""
        if not is_distributed(self.config) and any(needs_target(item) for item in session.items):
            self._stack()
        yield

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a new worker which run it belongs to."""
        node.workerinput["ragdrill"] = self.run.to_json()

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, None]:
        """Take the stack down and say the last word, whatever happened before."""
        yield
        interrupted = session.exitstatus in (
            pytest.ExitCode.INTERRUPTED,
            pytest.ExitCode.INTERNAL_ERROR,
        )
        self.code = self._conclude(interrupted=interrupted)
        session.exitstatus = self.code

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Render the reports and print the same verdict."""
        from harness.plugin.summary import render_and_print

        if not render_and_print(self.run.directory, terminalreporter):
            session = terminalreporter._session
            session.exitstatus = self.code = ExitCode.HARNESS_ERROR

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind even where the session never started."""
        self.owner.down(self.history)
        self.history.close()

    def _conclude(self, *, interrupted: bool) -> int:
        self.owner.down(self.history)
        problem = self.run.scratch / "usage-error.txt"
        usage = problem.read_text() if problem.exists() else None
        self._close_open_cases(interrupted=interrupted)
        verdicts = [
            Verdict(record.event.verdict)
            for record in read_history(self.run.directory)
            if isinstance(record.event, CaseVerdict)
        ]
        code = exit_code(verdicts, accept_skips=self.config.getoption("accept_skips"))
        if interrupted or self.owner.failed:
            code = ExitCode.HARNESS_ERROR
        if usage is not None:
            self._say(usage)
            code = ExitCode.USAGE
        verdict = Verdict.ERROR if code == ExitCode.HARNESS_ERROR else worst(verdicts)
        self.history.write(
            RunVerdict(
                verdict=verdict.value,
                counts={each.value: verdicts.count(each) for each in Verdict},
                exit_code=code,
                seconds=time.monotonic() - self.began,
                accept_skips=self.config.getoption("accept_skips"),
            )
        )
        self.owner.clean_up(self.run)
        return code

    def _close_open_cases(self, *, interrupted: bool) -> None:
        """Give each case that began without ending an error, and each that never began a skip."""
        selected: list[str] = []
        began: set[str] = set()
        ended: set[str] = set()
        for record in read_history(self.run.directory):
            if record.kind == "run.selected":
                selected = record.fields["cases"]
            elif record.kind == "case.start":
                began.add(record.fields["case"])
            elif record.kind == "case.verdict":
                ended.add(record.fields["case"])
        for case in [*selected, *sorted(began - set(selected))]:
            if case in ended:
                continue
            if case in began:
                verdict, why = Verdict.ERROR, "The case began and never ended: its process died."
                if interrupted:
                    why = "The case was cut off: the run was interrupted."
            else:
                verdict, why = Verdict.SKIP, "Not run: the run ended before its turn."
            self.history.write(
                CaseVerdict(
                    case=case,
                    slug=case.split("::")[0],
                    verdict=verdict.value,
                    seconds=0.0,
                    message=why,
                    rerun=rerun_command(case, self.run.seed),
                )
            )


def _write_start(run: Run, history: History, config: pytest.Config) -> None:
    history.write(
        RunStart(
            run_id=run.run_id,
            profile=run.profile,
            driver=run.driver,
            target=run.target,
            argv=["pytest", *config.invocation_params.args],
            seed=run.seed,
            time_scale=run.time_scale,
            version=__version__,
            host={
                "cpus": os.cpu_count(),
                "memory_bytes": psutil.virtual_memory().total,
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            git=_git_state(),
            options={"cases": config.getoption("case"), "workers": _workers(config)},
        )
    )
    for objective in load_objectives().values():
        history.write(
            ObjectiveKnown(
                objective.name,
                objective.requirement,
                objective.target,
                objective.threshold_s,
                objective.window_s,
            )
        )
    waivers = {waiver.slug: waiver for waiver in load_waivers(datetime.now(UTC).date())}
    for requirement in load_requirements():
        waiver = waivers.get(requirement.slug)
        history.write(
            RequirementKnown(
                slug=requirement.slug,
                level=requirement.level,
                section=requirement.section,
                sentence=requirement.sentence,
                waiver=None
                if waiver is None
                else {
                    "reason": waiver.reason,
                    "until": waiver.until.isoformat(),
                    "kind": waiver.kind,
                },
            )
        )


def _workers(config: pytest.Config) -> int:
    count = config.getoption("numprocesses", None)
    return int(count) if isinstance(count, int) else 0


def _git_state() -> dict[str, Any]:
    """Return commit and whether the tree differs from it; nothing outside a git checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"commit": commit, "dirty": bool(git("status", "--porcelain"))}
