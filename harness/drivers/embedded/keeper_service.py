"""One process that the keeper started, and everything that process started in turn."""

# pathlib would add to the size of every keeper.
# ruff: noqa: PTH116

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from harness.drivers.embedded import procfs

SERVICE_VARIABLE = "RAGDRILL_SERVICE"


class StartError(Exception):
    """A request that cannot be carried out; the text is for the user."""


@dataclass
class Service:
    """A started process; ``seen`` holds every descendant observed, pid to start time."""

    name: str
    pid: int
    start: int
    log: str
    log_start: int
    stop_signal: int
    started_at: float
    exit_code: int | None = None
    ended_at: float | None = None
    ending: bool = False
    """Whether it was told to stop or was killed; it may live on for a moment."""
    seen: dict[int, int] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "pid": self.pid,
            "start": self.start,
            "running": self.running,
            "ending": self.ending,
            "exit_code": self.exit_code,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "log": self.log,
            "log_start": self.log_start,
        }

    def tree(self) -> list[procfs.Process]:
        """The living processes of this service: descendants, its sessions, and orphans of both.

        PostgreSQL's backends each open a session of their own and overwrite their environment, so
        neither group nor environment alone finds them once the parent is gone; having been seen
        below it does.
        """
        rows = procfs.table()
        for pid, start in list(self.seen.items()):
            row = rows.get(pid)
            if row is None or row.start != start:
                del self.seen[pid]
        roots = set(self.seen)
        if self.running:
            roots.add(self.pid)
        me = os.getpid()
        roots |= {
            row.pid
            for row in rows.values()
            if row.parent == me and row.pid != self.pid and self._left_by_us(row)
        }
        found = [rows[pid] for pid in procfs.descendants(roots, rows)]
        living = [row for row in found if row.alive]
        self.seen.update({row.pid: row.start for row in living})
        return living

    def _left_by_us(self, row: procfs.Process) -> bool:
        if row.start < self.start:
            return False
        if self.pid in (row.session, row.group):
            return True
        return procfs.environ(row.pid).get(SERVICE_VARIABLE) == self.name

    def signal_tree(self, number: int) -> None:
        """Send a signal to all of it; SIGSTOP is repeated until nothing new turns up."""
        for _ in range(50):
            told = set(self.seen) if number == signal.SIGSTOP else None
            rows = self.tree()
            for row in rows:
                procfs.send(row.pid, number)
            if told is None or {row.pid for row in self.tree()} <= {row.pid for row in rows}:
                return

    def kill(self) -> None:
        """SIGKILL all of it. Stopped first, since a process that is being killed may still fork."""
        self.signal_tree(signal.SIGSTOP)
        for row in self.tree():
            procfs.send(row.pid, signal.SIGKILL)

    def gone(self) -> bool:
        """True once nothing of it lives; kills what turned up meanwhile."""
        left = self.tree()
        if left and not self.running:
            self.kill()
        return not self.running and not left


def spawn(name: str, settings: dict[str, Any], run_id: str) -> Service:
    """Fork and exec; raises StartError with the reason where exec was not reached.

    ``settings``: argv, env, cwd, log, stdin (a file or null), stop_signal, map_user (uid inside a
    user namespace or null).
    """
    argv: list[str] = settings["argv"]
    env = dict(settings["env"])
    env["RAGDRILL_RUN_ID"] = run_id
    env["RAGDRILL_KEEPER_PID"] = str(os.getpid())
    env[SERVICE_VARIABLE] = name
    try:
        log_start = os.stat(settings["log"]).st_size
    except OSError:
        log_start = 0
    report_read, report_write = os.pipe()
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become(argv, env, settings, keeper)
        except BaseException as error:
            os.write(report_write, json.dumps(f"{type(error).__name__}: {error}").encode())
        finally:
            os._exit(127)
    os.close(report_write)
    with os.fdopen(report_read, "rb") as report:
        problem = report.read()
    if problem:
        os.waitpid(child, 0)
        raise StartError(f"{argv[0]} could not be started: {json.loads(problem)}")
    row = procfs.read_process(child)
    return Service(
        name=name,
        pid=child,
        start=row.start if row else 0,
        log=settings["log"],
        log_start=log_start,
        stop_signal=settings.get("stop_signal", int(signal.SIGTERM)),
        started_at=time.time(),
    )


def _become(argv: list[str], env: dict[str, str], settings: dict[str, Any], keeper: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    procfs.die_with_parent(keeper)
    null = os.open(settings.get("stdin") or os.devnull, os.O_RDONLY)
    log = os.open(settings["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(settings["cwd"])
    os.umask(0o077)
    if settings.get("map_user") is not None:
        procfs.enter_user_namespace(settings["map_user"])
        # Changing credentials clears the request to die with the parent.
        procfs.die_with_parent(keeper)
    os.execve(argv[0], argv, env)
