"""Reading /proc: which processes exist, who descends from whom, and what a process left behind.

Standard library only, because the keeper imports it and has to stay small.
"""

# pathlib would add to the size of every keeper.
# ruff: noqa: PTH101, PTH106, PTH108, PTH115, PTH116, PTH123, PTH208

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IPC_RMID = 0
_CLONE_NEWUSER = 0x10000000

_libc = ctypes.CDLL(None, use_errno=True)


class Process(NamedTuple):
    """A row of the process table; with ``start``, in clock ticks after boot, a pid is unique."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    state: str

    @property
    def alive(self) -> bool:
        return self.state not in "ZXx"


def read_process(pid: int) -> Process | None:
    """The row of one process, or None once it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    # The command name may hold spaces and parentheses: only what follows its last one is regular.
    fields = text[text.rfind(")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), fields[0])


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def table() -> dict[int, Process]:
    """Every process that can be seen, by pid."""
    rows = (read_process(pid) for pid in pids())
    return {row.pid: row for row in rows if row is not None}


def descendants(roots: Iterable[int], rows: dict[int, Process]) -> set[int]:
    """The roots and everything below them, whatever session or group it moved to."""
    children: dict[int, list[int]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row.pid)
    found: set[int] = set()
    queue = [pid for pid in roots if pid in rows]
    while queue:
        pid = queue.pop()
        if pid not in found:
            found.add(pid)
            queue.extend(children.get(pid, ()))
    return found


def is_alive(pid: int, start: int | None = None) -> bool:
    """Whether the process exists and is no zombie; with ``start``, whether it is the same."""
    row = read_process(pid)
    return row is not None and row.alive and (start is None or row.start == start)


def environ(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty if it is hidden or was overwritten.

    nginx and PostgreSQL write their process titles over it.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            raw = file.read()
    except OSError:
        return {}
    pairs = (item.partition(b"=") for item in raw.split(b"\0") if b"=" in item)
    return {
        key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, _, value in pairs
    }


def link(pid: int, name: str) -> str:
    """The target of ``/proc/<pid>/<name>`` (``cwd``, ``exe``, ``ns/pid``), or an empty string."""
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""


def command(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            raw = file.read()
    except OSError:
        return []
    return [part.decode("utf-8", "replace") for part in raw.split(b"\0") if part]


def owner(pid: int) -> int | None:
    """The real user of the process, as this user namespace sees it."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def memory(pid: int) -> tuple[int, int]:
    """(resident, proportional) bytes of one process; 0 where they may not be read."""
    resident = proportional = 0
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Rss:"):
                resident = int(line.split()[1]) * 1024
            elif line.startswith("Pss:"):
                proportional = int(line.split()[1]) * 1024
    return resident, proportional


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is already gone is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def become_subreaper() -> None:
    """Have orphaned descendants handed to this process instead of init (Linux 3.4)."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when the parent ends; ends at once if it already did."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(125)


def enter_user_namespace(inside: int) -> None:
    """Make this process appear as user ``inside`` to itself, with the rights of the caller outside.

    This is how PostgreSQL, which refuses root, runs without a second user. Raises OSError where
    user namespaces are not allowed (as in Docker's default seccomp profile).
    """
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) failed")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside} {uid} 1"),
        ("gid_map", f"{inside} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def user_namespaces_work(inside: int = 65534) -> bool:
    """Try it in a child process; nothing of the caller changes."""
    child = os.fork()
    if child == 0:
        try:
            enter_user_namespace(inside)
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def remove_shared_memory(creators: Iterable[int]) -> int:
    """Remove System V segments that nobody is attached to and that these pids created; how many.

    A PostgreSQL server that was killed with -9 leaves one behind.
    """
    wanted = set(creators)
    removed = 0
    try:
        with open("/proc/sysvipc/shm", encoding="ascii") as file:
            lines = file.readlines()[1:]
    except OSError:
        return 0
    for line in lines:
        # key shmid perms size cpid lpid nattch uid ...
        fields = line.split()
        if int(fields[4]) in wanted and fields[6] == "0" and int(fields[7]) == os.getuid():
            removed += _libc.shmctl(int(fields[1]), _IPC_RMID, None) == 0
    return removed


def remove_tree(path: str) -> None:
    """Delete a directory tree, past read-only directories; others may be deleting it too."""
    try:
        entries = list(os.scandir(path))
    except PermissionError:
        os.chmod(path, 0o700)
        entries = list(os.scandir(path))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
            continue
        try:
            os.unlink(entry.path)
        except PermissionError:
            os.chmod(path, 0o700)
            os.unlink(entry.path)
        except FileNotFoundError:
            continue
    with suppress(FileNotFoundError):
        os.rmdir(path)
