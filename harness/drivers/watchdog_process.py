"""The watchdog: waits beside a run, and undoes its faults when the run stops or dies.

``python -m harness.drivers.watchdog_process LEASE MODULE:FUNCTION PATIENCE_S`` says ``armed`` on
its standard output once all is imported: at the moment it is needed there is no time for that.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.drivers.embedded import procfs
from harness.drivers.watchdog import orders_in, silence_s, write_whole

LIMIT_S = 120.0
"""How long it goes on trying; what is left then is in ``left.json`` of the lease."""

_LOOK_S = 0.25

Healer = Callable[[dict[str, Any]], dict[str, Any]]


def main(arguments: list[str]) -> int:
    """Watch until there is nothing left to watch; returns 1 when something stays undone."""
    directory, patience_s = Path(arguments[0]), float(arguments[2])
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    heal = _load(arguments[1])
    owner = json.loads((directory / "owner.json").read_text())
    try:
        life = os.pidfd_open(owner["pid"])
    except ProcessLookupError:
        life = -1
    with contextlib.suppress(OSError):
        os.write(1, b"armed\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    while life >= 0 and procfs.is_alive(owner["pid"], owner["start"]):
        gone, _, _ = select.select([life], [], [], _LOOK_S)
        if gone:
            break
        if orders_in(directory) and silence_s(directory) > patience_s:
            _say("heartbeat stopped", silence_s=round(silence_s(directory), 1))
            undo_all(directory, heal, _LOOK_S)
    left = undo_all(directory, heal, LIMIT_S)
    if left:
        write_whole(directory / "left.json", json.dumps(left))
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def undo_all(directory: Path, heal: Healer, limit_s: float) -> dict[str, Any]:
    """Undo every order, newest first, again and again until ``limit_s`` is over.

    Returns what is left, with the last thing seen.
    """
    deadline = time.monotonic() + limit_s
    left: dict[str, Any] = {}
    while True:
        left = {}
        for name, order in orders_in(directory).items():
            try:
                done = heal(order)
            except Exception as error:
                done = {"healed": False, "seen": f"{type(error).__name__}: {error}"}
            _say("undone" if done["healed"] else "not undone", order=order, seen=done["seen"])
            if done["healed"]:
                with contextlib.suppress(OSError):
                    write_whole(directory / "done" / f"{name}.json", json.dumps(done, default=str))
                (directory / "orders" / f"{name}.json").unlink(missing_ok=True)
            else:
                left[name] = done
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_LOOK_S)


def _load(name: str) -> Healer:
    module_name, _, function = name.partition(":")
    module = importlib.import_module(module_name)
    warm = getattr(module, "warm", None)
    if warm is not None:
        warm()
    healer: Healer = getattr(module, function)
    return healer


def _say(event: str, **more: Any) -> None:
    line = json.dumps({"t": time.time(), "event": event, **more}, default=str)
    with contextlib.suppress(OSError):
        os.write(2, line.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
