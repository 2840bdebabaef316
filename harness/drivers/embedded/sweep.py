"""Removes what earlier runs left behind when even their keeper was killed.

A run is dead when nobody holds its keeper's lock. Its processes are known by their environment or,
where a program overwrote that (nginx, PostgreSQL), by a working directory inside the run's scratch
directory. A living run, another user's process and another PID namespace are never touched.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.drivers.embedded import procfs
from harness.drivers.embedded.keeper import PIDS_NAME, remove_leftovers
from harness.drivers.embedded.keeper_client import lock_path

# A run makes its scratch directory a moment before its keeper takes the lock; a directory that
# never had a keeper is given a day before it counts as left over.
_UNKEPT_S = 24 * 3600.0


@dataclass(frozen=True)
class Swept:
    """What a sweep removed."""

    processes: int = 0
    directories: tuple[Path, ...] = ()


def sweep(scratch_root: Path) -> Swept:
    """End the processes of dead runs below ``scratch_root`` and delete their directories."""
    dead = [path for path in _directories(scratch_root) if _is_dead(path)]
    victims = _victims(dead)
    for pid, _ in victims:
        procfs.send(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while any(procfs.is_alive(*victim) for victim in victims) and time.monotonic() < deadline:
        time.sleep(0.01)
    for path in dead:
        procfs.remove_shared_memory(_recorded_pids(path))
        remove_leftovers(str(path))
        with suppress(OSError):
            procfs.remove_tree(str(path))
    return Swept(len(victims), tuple(dead))


def _directories(scratch_root: Path) -> list[Path]:
    try:
        return [path for path in scratch_root.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _is_dead(scratch: Path) -> bool:
    try:
        descriptor = os.open(lock_path(scratch), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - scratch.stat().st_mtime > _UNKEPT_S
        return False
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _victims(dead: list[Path]) -> list[tuple[int, int]]:
    me = os.getpid()
    namespace = procfs.link(me, "ns/pid")
    rows = procfs.table()
    spared = {me}
    while (row := rows.get(me)) is not None and row.parent not in spared:
        me = row.parent
        spared.add(me)
    prefixes = tuple(f"{path}/" for path in dead)
    found = []
    for pid, row in rows.items():
        if pid in spared or not row.alive or procfs.owner(pid) != os.getuid():
            continue
        if procfs.link(pid, "ns/pid") != namespace:
            continue
        directory = procfs.link(pid, "cwd").removesuffix(" (deleted)") + "/"
        if directory.startswith(prefixes) or _keeper_is_gone(procfs.environ(pid)):
            found.append((pid, row.start))
    return found


def _keeper_is_gone(environment: dict[str, str]) -> bool:
    run_id, keeper = environment.get("RAGDRILL_RUN_ID"), environment.get("RAGDRILL_KEEPER_PID", "")
    if not run_id or not keeper.isdigit():
        return False
    # A pid may be in use again: only a process that names the run when called is its keeper.
    return not (procfs.is_alive(int(keeper)) and run_id in procfs.command(int(keeper)))


def _recorded_pids(scratch: Path) -> list[int]:
    try:
        lines = (scratch / PIDS_NAME).read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[0]) for line in lines if line.split()]
