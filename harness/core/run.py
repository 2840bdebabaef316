"""One run: its identity, its two directories and what every process of it must agree on."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core.errors import TargetError, UsageError
from harness.core.locks import locked

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """What controller and workers share.

    ``directory`` is kept (history, samples, logs, reports); ``scratch`` dies with the run (data,
    state, secrets). ``time_scale`` divides the windows of alert rules in live scenarios.
    """

    run_id: str
    directory: Path
    scratch: Path
    profile: str
    driver: str
    target: str
    seed: int
    time_scale: float

    def to_json(self) -> str:
        """Return the run for another process of it."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Run:
        """Rebuild what :meth:`to_json` gave."""
        raw = json.loads(text)
        raw["directory"], raw["scratch"] = Path(raw["directory"]), Path(raw["scratch"])
        return cls(**raw)

    @property
    def state_file(self) -> Path:
        """Where the owner of the stack tells the other processes how to reach it."""
        return self.scratch / "stack.json"

    @property
    def lock_file(self) -> Path:
        """The lock that loud cases hold alone."""
        return self.scratch / "cases.lock"

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return ``make()``, computed by the first process of the run that asks for ``name``.

        The value goes through JSON and lies in ``scratch`` with mode 0600. If ``make`` raises,
        nothing is kept and the next caller tries again.
        """
        path = self.scratch / "once" / f"{name}.json"
        with locked(path.with_suffix(".lock"), exclusive=True):
            if path.exists():
                return json.loads(path.read_text())
            value = make()
            partial = path.with_suffix(f".{os.getpid()}.partial")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(value, file)
            partial.replace(path)
            return json.loads(path.read_text())


def scratch_root() -> Path:
    """Return the directory that holds the scratch directories of this user's runs."""
    return Path(tempfile.gettempdir()) / f"ragdrill-{os.getuid()}"


def new_run(
    *,
    profile: str,
    driver: str,
    target: str,
    seed: int | None,
    time_scale: float,
    directory: Path | None = None,
) -> Run:
    """Make the directories of a new run.

    Raises:
        UsageError: ``directory`` is given and already holds a history.
        TargetError: a directory can't be made (disk full, no permission).
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{stamp}-{profile}"
    run = Run(
        run_id=f"{name}-{secrets.token_hex(3)}",
        directory=directory or CHECKOUT / "runs" / name,
        scratch=Path(),
        profile=profile,
        driver=driver,
        target=target,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        time_scale=time_scale,
    )
    run = replace(run, scratch=scratch_root() / run.run_id)
    if directory is not None and (directory / "run.jsonl").exists():
        raise UsageError(
            "This directory already holds a run; histories are never mixed.",
            expected="--run-dir naming a new or empty directory",
            actual=str(directory),
        )
    try:
        scratch_root().mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory is None:
            run = replace(run, directory=_fresh(run.directory))
        else:
            directory.mkdir(parents=True, exist_ok=True)
        run.scratch.mkdir(mode=0o700)
    except OSError as error:
        with contextlib.suppress(OSError):
            run.scratch.rmdir()
        raise TargetError(
            "The run's directories could not be made.",
            expected=f"room and permission at {run.directory} and {run.scratch}",
            actual=str(error),
            next_step="make room, or set TMPDIR and --run-dir to places that can be written",
        ) from error
    return run


def _fresh(wanted: Path) -> Path:
    """Make ``wanted``; another run of the same second gets the next free number."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise FileExistsError(f"{wanted} and 999 numbered siblings exist")
