"""The keeper: a small process that starts a run's processes and outlives nobody but them.

It runs on the standard library alone, in one thread and in a session of its own, so that Ctrl-C in
a terminal never reaches it. It is a subreaper: whatever its children leave behind becomes its own
child. When the owner ends, in whatever way, it ends every descendant, removes the run's scratch
directory and exits. Requests and answers are JSON lines on an abstract socket, one per connection.
"""

# pathlib would add to the size of every keeper.
# ruff: noqa: PTH103, PTH108, PTH110, PTH118, PTH123

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from harness.drivers.embedded import procfs
from harness.drivers.embedded.keeper_service import Service, StartError, spawn

LOCK_NAME = "keeper.lock"
PIDS_NAME = "pids"
LEFTOVERS_NAME = "leftovers"
# Ended in an orderly way so that they may flush and unlink; then they are killed.
POLITE_S = 0.7
# A process in an uninterruptible sleep may outlast a kill for a while.
KILL_S = 10.0
REMOVE_S = 3.0
TICK_S = 0.02

Reply = dict[str, Any]


def socket_address(run_id: str, uid: int) -> str:
    """The abstract address of the keeper of one run of one user."""
    return f"\0ragdrill-{uid}-{run_id}"


class Keeper:
    """State of one keeper; ``run()`` returns when everything it started is gone."""

    def __init__(self, run_id: str, scratch: str, owner: int, pipe: int) -> None:
        self.run_id = run_id
        self.scratch = scratch
        self.owner = owner
        self.pipe = pipe
        self.services: dict[str, Service] = {}
        self.started: set[int] = set()
        self.watched: list[int] = []
        self.ending = False
        self.jobs: list[tuple[socket.socket, Callable[[], Reply | None]]] = []
        self.farewells: list[socket.socket] = []
        self.selector = selectors.DefaultSelector()
        self.buffers: dict[socket.socket, bytearray] = {}

    # --- set-up -------------------------------------------------------------------------------

    def open(self) -> None:
        """Take the run's lock, listen, and watch the owner; raises OSError if any of it fails."""
        os.makedirs(self.scratch, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(self.scratch, LOCK_NAME), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        procfs.become_subreaper()
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(socket_address(self.run_id, os.getuid()))
        self.server.listen(64)
        self.server.setblocking(False)
        self.selector.register(self.server, selectors.EVENT_READ, self._accept)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self.selector.register(wake_read, selectors.EVENT_READ, lambda fd: os.read(fd, 4096))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(ignored, signal.SIG_IGN)
        # The pipe alone is not enough: a child that the owner forked without exec would hold its
        # other end open. A descriptor of the owner's process settles it.
        self.watched = [self.pipe]
        with suppress(OSError):
            self.watched.append(os.pidfd_open(self.owner))
        for descriptor in self.watched:
            self.selector.register(descriptor, selectors.EVENT_READ, self._owner_gone)

    def _on_terminate(self, *_: object) -> None:
        self.ending = True

    def _owner_gone(self, _: int) -> None:
        self.ending = True

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        while not self.ending:
            for key, _ in self.selector.select(TICK_S if self.jobs else 5.0):
                key.data(key.fd)
            self.reap()
            self._advance_jobs()
        self.end()

    def reap(self) -> None:
        """Collect exits, of services and of what was adopted."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for service in self.services.values():
                if service.pid == pid and service.exit_code is None:
                    service.exit_code = os.waitstatus_to_exitcode(status)
                    service.ended_at = time.time()

    def _advance_jobs(self) -> None:
        waiting = []
        for connection, advance in self.jobs:
            try:
                answer = advance()
            except OSError as error:
                answer = failure(f"{type(error).__name__}: {error}")
            if answer is None:
                waiting.append((connection, advance))
            else:
                self._answer(connection, answer)
        self.jobs = waiting

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self.server.accept()
        except OSError:
            return
        size = struct.calcsize("3i")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        if struct.unpack("3i", peer)[1] != os.getuid():
            connection.close()
            return
        connection.settimeout(5.0)
        self.buffers[connection] = bytearray()
        self.selector.register(
            connection, selectors.EVENT_READ, lambda _fd: self._receive(connection)
        )

    def _receive(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(1 << 16)
        except OSError:
            data = b""
        buffer = self.buffers[connection]
        buffer.extend(data)
        if data and not buffer.endswith(b"\n"):
            return
        self.selector.unregister(connection)
        del self.buffers[connection]
        if not buffer.endswith(b"\n"):
            connection.close()
            return
        try:
            request = json.loads(buffer)
            handler = getattr(self, "op_" + request.pop("op"))
        except (ValueError, AttributeError, KeyError, TypeError):
            self._answer(connection, failure("unknown or malformed request"))
            return
        try:
            outcome = handler(connection, **request)
        except (StartError, KeyError, TypeError, OSError) as error:
            outcome = failure(str(error) or type(error).__name__)
        if callable(outcome):
            self.jobs.append((connection, outcome))
        elif outcome is not None:
            self._answer(connection, outcome)

    @staticmethod
    def _answer(connection: socket.socket, answer: Reply) -> None:
        with suppress(OSError):
            connection.sendall(json.dumps(answer).encode() + b"\n")
        connection.close()

    # --- requests -----------------------------------------------------------------------------

    def op_start(self, _: socket.socket, name: str, **settings: Any) -> Reply:
        old = self.services.get(name)
        if old is not None and old.running:
            return failure(f"{name} is already running as pid {old.pid}")
        if old is not None:
            # What an earlier life left behind must not meet the new one.
            old.kill()
        # Written down before the process can make them, so that a later sweep knows them too.
        with open(os.path.join(self.scratch, LEFTOVERS_NAME), "a", encoding="utf-8") as file:
            file.writelines(f"{path}\n" for path in settings.get("leftovers", ()))
        service = spawn(name, settings, self.run_id)
        self.services[name] = service
        self.started.add(service.pid)
        with open(os.path.join(self.scratch, PIDS_NAME), "a", encoding="ascii") as file:
            file.write(f"{service.pid} {service.start}\n")
        return {"ok": True, **service.describe()}

    def op_status(self, _: socket.socket) -> Reply:
        return {
            "ok": True,
            "pid": os.getpid(),
            "run_id": self.run_id,
            "detached": not self.watched,
            "services": {name: item.describe() for name, item in self.services.items()},
        }

    def op_detach(self, _: socket.socket) -> Reply:
        """From now on, live until told to shut down, whatever becomes of the owner."""
        for descriptor in self.watched:
            self.selector.unregister(descriptor)
            os.close(descriptor)
        self.watched = []
        return {"ok": True}

    def op_tree(self, _: socket.socket, name: str) -> Reply:
        service = self._named(name)
        # Its own process first: the lowest number may be a child's once numbers began anew.
        pids = sorted(
            (row.pid for row in service.tree()), key=lambda pid: (pid != service.pid, pid)
        )
        return {"ok": True, "pids": pids}

    def op_signal(self, _: socket.socket, name: str, number: int, tree: bool = True) -> Reply:
        service = self._named(name)
        if not service.running:
            return failure(f"{name} is not running")
        if tree:
            service.signal_tree(number)
        else:
            procfs.send(service.pid, number)
        return {"ok": True}

    def op_kill(self, _: socket.socket, name: str) -> Callable[[], Reply | None] | Reply:
        service = self._named(name)
        if not service.running and not service.tree():
            return failure(f"{name} is not running")
        service.ending = True
        service.kill()
        return lambda: {"ok": True, **service.describe()} if service.gone() else None

    def op_stop(
        self, _: socket.socket, name: str, grace: float
    ) -> Callable[[], Reply | None] | Reply:
        service = self._named(name)
        if not service.running:
            service.kill()
            return {"ok": True, "forced": False, **service.describe()}
        service.ending = True
        service.tree()
        service.signal_tree(signal.SIGCONT)
        procfs.send(service.pid, service.stop_signal)
        deadline = time.monotonic() + grace
        forced = False

        def advance() -> Reply | None:
            nonlocal forced
            if not service.running:
                service.kill()
            elif time.monotonic() > deadline and not forced:
                forced = True
                service.kill()
            if not service.gone():
                return None
            return {"ok": True, "forced": forced, **service.describe()}

        return advance

    def op_shutdown(self, connection: socket.socket) -> None:
        self.ending = True
        self.farewells.append(connection)

    def _named(self, name: str) -> Service:
        if name not in self.services:
            known = ", ".join(self.services) or "none yet"
            raise StartError(f"no process named {name!r} was started; started: {known}")
        return self.services[name]

    # --- the end ------------------------------------------------------------------------------

    def end(self) -> None:
        """End every descendant, then remove what the run left."""
        for service in self.services.values():
            if service.running:
                procfs.send(service.pid, service.stop_signal)
                service.signal_tree(signal.SIGCONT)
        deadline = time.monotonic() + POLITE_S
        while time.monotonic() < deadline and any(s.running for s in self.services.values()):
            self.reap()
            time.sleep(TICK_S / 4)
        self._kill_all()
        procfs.remove_shared_memory(self.started)
        remove_leftovers(self.scratch)
        # Again and again, because the owner may be ending too and still write there.
        deadline = time.monotonic() + REMOVE_S
        while os.path.exists(self.scratch) and time.monotonic() < deadline:
            with suppress(OSError):
                procfs.remove_tree(self.scratch)
            time.sleep(TICK_S / 4)
        for connection in self.farewells:
            self._answer(connection, {"ok": True})

    def _kill_all(self) -> None:
        deadline = time.monotonic() + KILL_S
        while time.monotonic() < deadline:
            self.reap()
            living = procfs.descendants([os.getpid()], procfs.table()) - {os.getpid()}
            if not living:
                return
            for pid in living:
                procfs.send(pid, signal.SIGKILL)
            time.sleep(TICK_S / 4)


def remove_leftovers(scratch: str) -> None:
    """Delete the files outside ``scratch`` that its processes are known to leave behind."""
    try:
        with open(os.path.join(scratch, LEFTOVERS_NAME), encoding="utf-8") as file:
            paths = file.read().splitlines()
    except OSError:
        return
    for path in paths:
        with suppress(OSError):
            os.unlink(path)


def failure(message: str) -> Reply:
    return {"ok": False, "error": message}


def main(argv: list[str]) -> int:
    """``RUN_ID SCRATCH OWNER_PID PIPE_FD READY_FD``; writes one JSON line to READY_FD."""
    run_id, scratch, owner, pipe, ready = argv[0], argv[1], *map(int, argv[2:5])
    keeper = Keeper(run_id, scratch, owner, pipe)
    for descriptor in (pipe, ready):
        os.set_inheritable(descriptor, False)
    try:
        keeper.open()
    except OSError as error:
        os.write(ready, json.dumps(failure(str(error))).encode() + b"\n")
        return 1
    with suppress(OSError):
        os.write(ready, json.dumps({"ok": True, "pid": os.getpid()}).encode() + b"\n")
    os.close(ready)
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
