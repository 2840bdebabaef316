"""The frame of every day-two script: arguments, exit codes, log lines, progress, one at a time."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from harness.core.errors import HarnessError, TargetError, UsageError
from scripts.dayops.environment import CONTRACT, Environment

DONE, REFUSED, UNFINISHED, BUSY, USAGE, DISAGREE = 0, 1, 2, 3, 4, 5

EXIT_CODES = """exit codes:
  0  done
  1  refused, or found to be bad; what was there is untouched
  2  could not be carried out (a store did not answer, the disk is full); run it again
  3  another run on the same bucket is under way
  4  wrong usage: an argument or a variable is missing or wrong
"""

WAIT_S = 60.0
SCRATCH, SOCKETS = "ragdrill-script-", "rd-pg-"
"""Beginnings of the names of temporary directories; the process's id follows."""
_SECRETS = (
    *("AWS_SECRET_ACCESS_KEY", "QDRANT_API_KEY", "AUTH_SERVICE_KEY"),
    *("GATEWAY_PROBE_TOKEN", "NEW_PROVIDER_KEY"),
)


class Refused(HarnessError):
    """The backup is bad or may not be used here; nothing was changed (exit code 1)."""


class Busy(HarnessError):
    """Another run is under way (exit code 3)."""


class Disagree(HarnessError):
    """Everything is restored, but the stores do not agree (exit code 5)."""


class Terminated(BaseException):
    """SIGTERM came (exit code 143)."""


class Log:
    """One JSON object a line on stdout for machines, progress on stderr for people."""

    def __init__(self, script: str, environment: Environment) -> None:
        self._script, self._run = script, secrets.token_hex(4)
        self._told = 0.0
        self._hidden = [environment[name] for name in _SECRETS if environment.has(name)]
        if environment.has("DATABASE_URL"):
            password = urlsplit(environment["DATABASE_URL"]).password
            self._hidden += [password] if password else []

    def event(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one line; values that are secrets are blotted out."""
        line = json.dumps(
            {
                "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "level": level,
                "script": self._script,
                "run": self._run,
                "event": event,
                **fields,
            },
            default=str,
        )
        with contextlib.suppress(BrokenPipeError):
            print(self.clean(line), flush=True)

    def clean(self, text: str) -> str:
        """Return the text without the secrets of this environment."""
        for secret in self._hidden:
            text = text.replace(secret, "[redacted]")
        return text

    @contextlib.contextmanager
    def step(self, step: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Log the start and end of a step with its seconds; what is put into the mapping too."""
        began = time.monotonic()
        found: dict[str, Any] = {}
        self.event("step", step=step, state="started", **fields)
        self.say(f"{step} {' '.join(str(value) for value in fields.values())}".strip())
        try:
            yield found
        except BaseException as error:
            seconds = round(time.monotonic() - began, 3)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.event(
                "step",
                level="error",
                step=step,
                state="failed",
                seconds=seconds,
                reason=reason,
                **fields,
            )
            raise
        state = found.pop("state", "done")
        seconds = round(time.monotonic() - began, 3)
        self.event("step", step=step, state=state, seconds=seconds, **fields, **found)

    def warn(self, event: str, text: str, **fields: Any) -> None:
        """Say something that is no failure but wants a look."""
        self.event(event, level="warning", text=text, **fields)
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        """Write one line for people."""
        self._told = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            print(self.clean(f"{self._script}: {text}"), file=sys.stderr, flush=True)

    def progress(self, text: str, every_s: float = 2.0) -> None:
        """Write one line for people, unless the last one is younger than ``every_s`` seconds."""
        if time.monotonic() - self._told >= every_s:
            self.say(text)


@dataclass(frozen=True)
class Task:
    """What a script's work gets.

    ``work`` is a directory that is gone when the script has ended; what is put into ``told`` is in
    the last log line, however the script ends.
    """

    arguments: argparse.Namespace
    environment: Environment
    log: Log
    work: Path
    told: dict[str, Any]


Work = Callable[[Task], None]


def parser(
    script: str, what: str, reads: Sequence[str], more_codes: str = "", codes: str = EXIT_CODES
) -> Any:
    """Return an argument parser whose help has the variables and the exit codes."""
    lines = []
    for name in reads:
        default = f" (default {CONTRACT[name].default})" if CONTRACT[name].default else ""
        lines.append(f"  {name:<22} {CONTRACT[name].meaning}{default}")
    epilog = "variables:\n" + "\n".join(lines) + "\n\n" + codes + more_codes
    made = argparse.ArgumentParser(
        prog=f"scripts/{script}",
        description=what,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.error = _usage  # type: ignore[method-assign]
    return made


def _usage(message: str) -> Any:
    raise UsageError(message, next_step="run it with --help")


def main(
    script: str,
    arguments: argparse.ArgumentParser,
    needs: Sequence[str],
    work: Work,
    argv: Sequence[str] | None = None,
) -> int:
    """Run a script's work; returns its exit code, with the reason on stderr if that is not 0."""
    began = time.monotonic()
    environment = Environment()
    log = Log(script, environment)
    signal.signal(signal.SIGTERM, _terminate)
    told: dict[str, Any] = {}
    try:
        chosen = arguments.parse_args(argv)
        Environment.with_all(*needs)
        _sweep(Path(tempfile.gettempdir()))
        prefix = f"{SCRATCH}{os.getpid()}-"
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as scratch:
            work(Task(chosen, environment, log, Path(scratch), told))
        code, outcome = DONE, "done"
    except SystemExit as ended:  # --help
        return int(ended.code or 0)
    except Refused as error:
        code, outcome = REFUSED, _explain(log, error)
    except Busy as error:
        code, outcome = BUSY, _explain(log, error)
    except UsageError as error:
        code, outcome = USAGE, _explain(log, error)
    except Disagree as error:
        code, outcome = DISAGREE, _explain(log, error)
    except HarnessError as error:
        code, outcome = UNFINISHED, _explain(log, error)
    except OSError as error:
        problem = TargetError(
            "The script could not go on.",
            actual=str(error),
            next_step="make room, or set TMPDIR to a directory with more, and run it again",
        )
        code, outcome = UNFINISHED, _explain(log, problem)
    except KeyboardInterrupt:
        code, outcome = 130, _explain(log, TargetError("Interrupted."))
    except Terminated:
        code, outcome = 143, _explain(log, TargetError("Terminated."))
    seconds = round(time.monotonic() - began, 3)
    level = "info" if code == DONE else "error"
    log.event("finished", level=level, exit_code=code, outcome=outcome, seconds=seconds, **told)
    return code


def _sweep(place: Path) -> None:
    """Remove the temporary directories of scripts that were killed."""
    for prefix in (SCRATCH, SOCKETS):
        for path in place.glob(f"{prefix}*"):
            owner = path.name.removeprefix(prefix).split("-")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                shutil.rmtree(path, ignore_errors=True)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def _explain(log: Log, error: HarnessError) -> str:
    log.say(str(error))
    return error.what


@contextlib.contextmanager
def alone(environment: Environment, *stores: str, wait_s: float = WAIT_S) -> Iterator[None]:
    """Keep other runs that change the backups of these stores away while the body runs.

    The lock dies with the process, however it ends. It holds on this machine; runs elsewhere are
    kept apart by their directories.

    Raises:
        Busy: somebody else holds it after ``wait_s`` seconds.
    """
    place = Path(tempfile.gettempdir()) / f"ragdrill-scripts-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    where = f"{environment['S3_ENDPOINT_URL']}/{environment['BACKUP_BUCKET']}"
    with contextlib.ExitStack() as held:
        for store in sorted(stores):
            name = hashlib.sha256(f"{where} {store}".encode()).hexdigest()[:16]
            what = f"Another run works on the backups of {store}."
            held.enter_context(locked(place / f"{name}.lock", what, wait_s=wait_s))
        yield


@contextlib.contextmanager
def locked(path: Path, what: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file while the body runs; it dies with the process, however it ends.

    Raises:
        Busy: ``what``; somebody else holds it, and still does after ``wait_s`` seconds.
    """
    with path.open("w") as file:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(
                        what,
                        expected=f"it to end within {wait_s:.0f} s" if wait_s else "one at a time",
                        next_step="run this again when it has ended",
                    ) from None
                time.sleep(0.1)
        yield
