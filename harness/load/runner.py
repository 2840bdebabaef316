"""Runs a load plan in a generator process of its own, to the end or in the background."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import HarnessError
from harness.load.plan import LoadPlan, arrival_times, template_choices
from harness.load.result import LoadResult, lateness_p99, void_reason
from harness.load.samples import DROPPED, LoadSamples, SampleFile

START_S = 30.0
"""How long a generator may take to start on a busy machine (about one second on an idle one)."""

SETTLE_S = 0.3
"""How long a sample may take from its end to the file (the generator writes every 0.1 s)."""

_ROOT = Path(__file__).resolve().parents[2]
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")

Progress = Callable[[dict[str, Any]], None]
"""Called about once a second with ``elapsed_s``, ``duration_s``, ``samples`` and ``counts``."""


@dataclass(frozen=True, slots=True)
class Window:
    """The arrivals of a stretch of a run that still goes on.

    ``samples`` are those that have ended; ``pending`` holds the age in seconds of those that were
    due at least ``SETTLE_S`` ago and have not: without them a stalled target would look healthy.
    """

    samples: LoadSamples
    pending: NDArray[np.float64]

    @property
    def latency(self) -> NDArray[np.float64]:
        """Latencies so far: failures count as infinite, open requests with their age."""
        return np.concatenate((self.samples.answered_latency, self.pending))

    def failed_share(self) -> float:
        """Return the share of ended requests that failed (NaN if none has ended)."""
        return float(np.mean(~self.samples.ok)) if len(self.samples) else float("nan")


class LoadHandle:
    """A load run under way. A context manager: what is still running at its end is ended.

    Made by :func:`start_load`. All methods are for one thread.
    """

    def __init__(
        self,
        plan: LoadPlan,
        directory: Path,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        arrivals: NDArray[np.float64],
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.marks: list[tuple[str, float]] = []
        self._process = process
        self._control = control
        self._arrivals = arrivals
        self._file = SampleFile(directory / "samples.jsonl")
        self._buffer = b""
        self._closed = False
        self._messages: dict[str, dict[str, Any]] = {}
        self._stop_asked = False
        self._result: LoadResult | None = None
        self.began_monotonic = 0.0
        self.began_utc = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process id of the generator."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until the generator has ended."""
        self._pump(0)
        return self._process.poll() is None

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run, on the clock of the samples."""
        return time.monotonic() - self.began_monotonic

    def mark(self, label: str) -> float:
        """Note that something happened now; returns seconds since the start of the run."""
        at = self.elapsed
        self.marks.append((label, at))
        with (self.directory / "marks.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"label": label, "at": round(at, 6)}) + "\n")
        return at

    def window(self, seconds: float) -> Window:
        """Return the arrivals due in the last ``seconds``."""
        now = self.elapsed
        return self.between(now - seconds, now)

    def between(self, begin: float, end: float) -> Window:
        """Return the arrivals due in ``[begin, end)`` seconds since the start of the run."""
        self._pump(0)
        rows = self._file.rows()
        now = self.elapsed
        recent = [row for row in rows if begin <= row["intended"] < end]
        samples = LoadSamples.from_rows(recent)
        # What ended a moment ago may not have been written yet; it is neither ended nor pending.
        last = min(end, now - SETTLE_S)
        due = np.flatnonzero((self._arrivals >= begin) & (self._arrivals < last))
        ended = self._messages.get("finished")
        if ended is not None:
            due = due[due < int(ended["arrivals"])]
        still = np.setdiff1d(due, samples.number, assume_unique=True)
        return Window(samples, now - self._arrivals[still])

    def stop(self) -> LoadResult:
        """Send no more requests, wait for the open ones, and return the result."""
        if not self._stop_asked and self._process.poll() is None:
            self._stop_asked = True
            self._control.settimeout(5)
            with contextlib.suppress(OSError):
                self._control.sendall(b"stop\n")
        return self.wait()

    def wait(self, progress: Progress | None = None) -> LoadResult:
        """Wait for the end of the run, within a bound, and return the result."""
        if self._result is not None:
            return self._result
        bound = self.plan.timeout_s + 20
        if not self._stop_asked:
            bound += max(0.0, self.plan.duration_s - self.elapsed)
        deadline = time.monotonic() + bound
        told = time.monotonic()
        try:
            while "finished" not in self._messages and not self._closed:
                self._pump(0.2)
                if time.monotonic() > deadline:
                    break
                if progress is not None and time.monotonic() - told >= 1:
                    told = time.monotonic()
                    progress(self._progress())
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
        finally:
            overdue = self._process.poll() is None
            self.kill()
        self._result = self._conclude(overdue)
        return self._result

    def kill(self) -> None:
        """End the generator at once, if it still runs, and let go of its socket."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=10)
        self._control.close()
        self._closed = True

    def await_start(self) -> None:
        """Wait for the start of the schedule; raises :class:`HarnessError` if it never comes."""
        deadline = time.monotonic() + START_S
        while "started" not in self._messages:
            self._pump(0.2)
            if self._closed or time.monotonic() > deadline:
                self.kill()
                raise HarnessError(
                    "the load generator did not start",
                    expected=f"a running generator within {START_S:g} s",
                    actual=self._log_tail() or f"exit status {self._process.returncode}",
                    next_step=f"read {self.directory / 'locust.log'}",
                )
        self.began_monotonic = float(self._messages["started"]["monotonic"])
        self.began_utc = float(self._messages["started"]["utc"])

    def _pump(self, timeout: float) -> None:
        """Take in what the generator says, waiting at most ``timeout`` seconds for it."""
        if self._closed:
            return
        self._control.settimeout(timeout)
        try:
            data = self._control.recv(65536)
        except (TimeoutError, BlockingIOError):
            return
        except OSError:
            data = b""
        if not data:
            self._closed = True
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            self._messages[message["event"]] = message

    def _progress(self) -> dict[str, Any]:
        samples = LoadSamples.from_rows(self._file.rows())
        return {
            "elapsed_s": self.elapsed,
            "duration_s": self.plan.duration_s,
            "samples": len(samples),
            "counts": samples.counts(),
        }

    def _log_tail(self) -> str:
        try:
            text = (self.directory / "locust.log").read_text(errors="replace")
        except OSError:
            return ""
        return " | ".join(line for line in text.splitlines()[-6:] if line.strip())

    def _conclude(self, overdue: bool) -> LoadResult:
        samples = LoadSamples.from_rows(list(self._file.rows()))
        finished = self._messages.get("finished")
        ended = None
        if finished is None:
            ended = (
                f"the generator ended before its schedule did (status {self._process.returncode}): "
                f"{self._log_tail() or 'it left no log'}"
            )
        elif finished["still_open"]:
            ended = f"{finished['still_open']} requests were still open after their time ran out"
        elif overdue:
            ended = "the generator did not end in time"
        scheduled = int(finished["arrivals"]) if finished else len(self._arrivals)
        return LoadResult(
            plan=self.plan,
            samples=samples,
            directory=self.directory,
            began_utc=self.began_utc,
            seconds=float(finished["seconds"]) if finished else self.elapsed,
            scheduled=scheduled,
            dropped=samples.error.count(DROPPED),
            lateness_p99_s=lateness_p99(samples),
            void_reason=void_reason(self.plan, samples, scheduled, ended),
            stopped_early=self._stop_asked,
            marks=list(self.marks),
        )


def start_load(
    plan: LoadPlan, directory: Path, *, secrets: Mapping[str, str] | None = None
) -> LoadHandle:
    """Start a load in the background and return once its first arrival is scheduled.

    ``directory`` is new or empty and keeps the plan, the raw samples and the generator's log.
    ``secrets`` fill ``{token:NAME}`` in headers; they travel through a socket, never through a
    file, the environment or an argument list. Raises :class:`HarnessError` for a missing secret, a
    directory in use and a generator that does not start.
    """
    given = dict(secrets or {})
    missing = sorted(plan.tokens() - set(given))
    if missing:
        raise HarnessError(
            "the load plan asks for tokens that it was not given",
            expected=", ".join(missing),
            actual=", ".join(sorted(given)) or "none",
            next_step="pass them in secrets=",
        )
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "samples.jsonl").exists():
        raise HarnessError(
            "a load run needs a directory of its own",
            expected="a directory without samples.jsonl",
            actual=str(directory),
        )
    arrivals = arrival_times(plan)
    (directory / "plan.json").write_text(plan.as_json(), encoding="utf-8")
    (directory / "arrivals.f64").write_bytes(arrivals.tobytes())
    (directory / "choices.i32").write_bytes(template_choices(plan, len(arrivals)).tobytes())
    process, control = _spawn(plan, directory)
    handle = LoadHandle(plan, directory, process, control, arrivals)
    try:
        control.sendall(json.dumps({"secrets": given}).encode() + b"\n")
        handle.await_start()
    except BaseException:
        handle.kill()
        raise
    return handle


def run_load(
    plan: LoadPlan,
    directory: Path,
    *,
    secrets: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> LoadResult:
    """Run a load plan to its end and return the result (see :func:`start_load`)."""
    with start_load(plan, directory, secrets=secrets) as handle:
        return handle.wait(progress)


def _spawn(plan: LoadPlan, directory: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    # Locust reads LOCUST_* and configuration files of the home and working directories; a run must
    # not depend on either.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LOCUST_")}
    environment["HOME"] = str(directory)
    environment["RAGDRILL_LOAD_FD"] = str(theirs.fileno())
    paths = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    if plan.adapter:
        # An adapter that this process could import by its name must be found there too.
        paths += [each for each in sys.path if each and each not in paths]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if threading.current_thread() is threading.main_thread():
        # The kernel's signal follows the thread that forked, so a short-lived one must not ask
        # for it: there the end of the socket alone ends the generator.
        environment["RAGDRILL_LOAD_PARENT"] = str(os.getpid())
    command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless"]
    command += ["--users", "1", "--spawn-rate", "1", "--only-summary", "--loglevel", "WARNING"]
    try:
        with (directory / "locust.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours
