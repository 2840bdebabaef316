"""A lease on undoing: what must be undone should the process that broke it stop or die.

The lease is a directory with one file per undo and a file touched every second. A process of its
own watches it (:mod:`harness.drivers.watchdog_process`) and undoes what is listed when its owner
is gone, or when the heartbeat stops.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError
from harness.drivers.embedded import procfs

BEAT_S = 1.0
PATIENCE_S = 15.0
"""Silence after which a living owner counts as hung. Its death is seen at once, without this."""

ARMED_S = 60.0
_CHECKOUT = Path(__file__).resolve().parents[2]


class NoWatchdog(HarnessError):
    """Nobody would undo a fault if this process died, so none may be injected."""


class Lease:
    """The owner's side. Nothing is written or started before the first :meth:`hold`.

    ``healer`` names a function ``module:function`` that takes one order (a JSON object) and
    returns ``{"healed": bool, "seen": ...}``. ``log`` is where the watchdog says what it did.
    ``patience_s`` is the silence after which this process counts as hung.
    """

    def __init__(
        self, directory: Path, healer: str, log: Path, patience_s: float = PATIENCE_S
    ) -> None:
        self.patience_s = patience_s
        self.directory = directory
        self.healer = healer
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._beating: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The watchdog's process, while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def hold(self, name: str, order: dict[str, Any]) -> None:
        """List an undo; returns once it is on disk and a watchdog watches.

        Raises:
            NoWatchdog: none came up.
        """
        self._watch()
        path = self.directory / "orders" / f"{name}.json"
        write_whole(path, json.dumps(order, default=str))

    def drop(self, name: str) -> None:
        """The undo is done."""
        (self.directory / "orders" / f"{name}.json").unlink(missing_ok=True)

    def undone(self, name: str) -> dict[str, Any] | None:
        """What the watchdog did about an order, or ``None`` while it has not touched it."""
        try:
            found: dict[str, Any] = json.loads(
                (self.directory / "done" / f"{name}.json").read_text()
            )
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found

    def close(self) -> None:
        """End the watchdog, unless something is still to be undone: then it does that once this
        process has ended."""
        self._over.set()
        if self._beating is not None:
            self._beating.join(timeout=5)
        if self._process is None:
            return
        if not orders_in(self.directory):
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
            shutil.rmtree(self.directory, ignore_errors=True)
        self._process = None

    def _watch(self) -> None:
        if self.pid is not None:
            return
        (self.directory / "orders").mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / "done").mkdir(mode=0o700, exist_ok=True)
        me = procfs.read_process(os.getpid())
        owner = {"pid": os.getpid(), "start": me.start if me else 0}
        write_whole(self.directory / "owner.json", json.dumps(owner))
        self._beat()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "harness.drivers.watchdog_process"),
                    *(str(self.directory), self.healer, str(self.patience_s)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # Neither Ctrl-C in the terminal nor the end of its session may reach it.
                start_new_session=True,
                cwd=_CHECKOUT,
            )
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], ARMED_S)
        said = self._process.stdout.readline() if readable else b""
        self._process.stdout.close()
        if said != b"armed\n":
            self._process.kill()
            self._process.wait(timeout=10)
            raise NoWatchdog(
                "The watchdog, which undoes faults should this process die, did not come up.",
                expected=f"it armed within {ARMED_S:.0f} s",
                actual=said.decode() or "nothing",
                next_step=f"read {self.log}",
            )
        # On a busy machine it may have taken longer to come up than it is patient.
        self._beat()
        if self._beating is None:
            self._beating = threading.Thread(target=self._keep_beating, daemon=True, name="lease")
            self._beating.start()

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(OSError):
                self._beat()

    def _beat(self) -> None:
        (self.directory / "beat").touch(mode=0o600)


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)


def orders_in(directory: Path) -> dict[str, dict[str, Any]]:
    """What is still to be undone, newest first: faults are undone in the reverse order."""
    found: list[tuple[float, str, dict[str, Any]]] = []
    for path in (directory / "orders").glob("[!.]*.json"):
        with contextlib.suppress(OSError, json.JSONDecodeError):
            found.append((path.stat().st_mtime, path.stem, json.loads(path.read_text())))
    return {name: order for _, name, order in sorted(found, key=lambda row: -row[0])}


def abandoned(root: Path) -> list[Path]:
    """The leases below ``root`` that have neither an owner nor a watchdog any more.

    That takes a machine that lost both at once; a living run's lease is never among them.
    """
    found = []
    for directory in sorted(root.glob("*.lease-*")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            owner = json.loads((directory / "owner.json").read_text())
            if not procfs.is_alive(owner["pid"], owner["start"]) and not _watched(directory):
                found.append(directory)
    return found


def _watched(directory: Path) -> bool:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def silence_s(directory: Path) -> float:
    """Seconds since the last heartbeat."""
    try:
        return max(0.0, time.time() - (directory / "beat").stat().st_mtime)
    except OSError:
        return 0.0
