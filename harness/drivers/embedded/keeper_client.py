"""Talks to a run's keeper: launches it, and asks it to start, signal and stop processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.errors import TargetError
from harness.drivers.embedded import procfs
from harness.drivers.embedded.keeper import LOCK_NAME, socket_address

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
# The package's __init__ modules import what the keeper must not carry, so empty ones stand in.
_BOOTSTRAP = """
import sys, types
root = sys.argv.pop(1)
for name in ("harness", "harness.drivers", "harness.drivers.embedded"):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [root + "/" + name.replace(".", "/")]
from harness.drivers.embedded.keeper import main
sys.exit(main(sys.argv[1:]))
"""
_ANSWER_S = 30.0


class KeeperError(TargetError):
    """The keeper is gone, or refused a request."""


class KeeperClient:
    """A handle on one keeper; safe to use from several threads and processes at once."""

    def __init__(self, run_id: str, scratch: Path) -> None:
        self.run_id = run_id
        self.scratch = scratch
        self._address = socket_address(run_id, os.getuid())
        self._pipe: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, log_dir: Path) -> None:
        """Start the keeper of a new run; it and all it starts end with this process.

        Raises KeeperError when it does not come up, with what it said.
        """
        run_id, scratch = self.run_id, self.scratch
        log_dir.mkdir(parents=True, exist_ok=True)
        life_read, life_write = os.pipe()
        ready_read, ready_write = os.pipe()
        arguments = [
            *(sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(_PACKAGE_ROOT)),
            *(run_id, str(scratch), str(os.getpid())),
            *(str(life_read), str(ready_write)),
        ]
        log = log_dir / "keeper.log"
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(life_read, ready_write),
                    start_new_session=True,
                    cwd="/",
                    env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                )
        finally:
            os.close(life_read)
            os.close(ready_write)
        with os.fdopen(ready_read, "rb") as report:
            line = report.readline()
        answer = json.loads(line) if line else {"ok": False, "error": tail(log)}
        if not answer["ok"]:
            os.close(life_write)
            self._process.wait()
            raise KeeperError(
                "The keeper, which starts and ends a run's processes, did not come up.",
                expected=f"a keeper for run {run_id} with its state in {scratch}",
                actual=answer["error"],
                next_step="is another run using this id, or is there no room or permission there?",
            )
        self._pipe = life_write

    def detach(self) -> None:
        """Let the keeper and its processes outlive this process, until ``shutdown()``."""
        self.call("detach")
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    @property
    def pid(self) -> int:
        """The keeper's process; raises KeeperError where it is gone."""
        return int(self.call("status")["pid"])

    # --- requests -----------------------------------------------------------------------------

    def call(self, op: str, timeout_s: float = _ANSWER_S, **fields: Any) -> dict[str, Any]:
        """One request; raises KeeperError where the keeper is gone or says no."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout_s)
                connection.connect(self._address)
                connection.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
                with connection.makefile("rb") as stream:
                    line = stream.readline()
        except TimeoutError as error:
            raise KeeperError(
                f"The keeper of run {self.run_id} did not answer.",
                expected=f"an answer to {op!r} within {timeout_s:g} s",
                actual="nothing",
            ) from error
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from error
        if not line:
            raise self._gone("it closed the connection without an answer")
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise KeeperError(f"The keeper refused {op!r}.", actual=answer["error"])
        return answer

    def _gone(self, reason: str) -> KeeperError:
        return KeeperError(
            f"The keeper of run {self.run_id} is gone, and its processes with it.",
            expected=f"a keeper, started with the run, at {self.scratch}",
            actual=reason,
            next_step="start the run again",
        )

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        stop_signal: int = signal.SIGTERM,
        map_user: int | None = None,
        stdin: Path | None = None,
        leftovers: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Start a process; returns its description (``pid``, ``start``, ``log``, ...).

        ``map_user``: run it in a user namespace where it appears to be this uid. ``stdin``: a file
        to read from, else nothing. ``leftovers``: files outside the scratch directory that the
        process is known to leave behind; deleted with the run.
        """
        return self.call(
            "start",
            name=name,
            argv=list(argv),
            env=dict(env),
            cwd=str(cwd),
            log=str(log),
            stdin=None if stdin is None else str(stdin),
            leftovers=list(leftovers),
            stop_signal=int(stop_signal),
            map_user=map_user,
        )

    def finish(self, name: str, timeout_s: float) -> None:
        """Wait until a process ends by itself; raises KeeperError unless with status 0."""
        deadline = time.monotonic() + timeout_s
        while (described := self.services()[name])["running"]:
            if time.monotonic() > deadline:
                self.kill(name)
                raise KeeperError(
                    f"{name} did not finish.",
                    expected=f"an end within {timeout_s:g} s",
                    actual=f"still running; its log ends with:\n{last_words(described)}",
                )
            time.sleep(0.01)
        if described["exit_code"] != 0:
            raise KeeperError(
                f"{name} failed.",
                expected="exit status 0",
                actual=f"{described['exit_code']}; its log ends with:\n{last_words(described)}",
                next_step=f"read {described['log']}",
            )

    def services(self) -> dict[str, dict[str, Any]]:
        """Every process started so far, by name, with ``running``, ``pid`` and ``exit_code``."""
        found: dict[str, dict[str, Any]] = self.call("status")["services"]
        return found

    def is_running(self, name: str) -> bool:
        return bool(self.services().get(name, {}).get("running"))

    def tree(self, name: str) -> list[int]:
        """The pids of a process and all below it, its own first."""
        pids: list[int] = self.call("tree", name=name)["pids"]
        return pids

    def signal(self, name: str, number: int, *, tree: bool = True) -> None:
        """Send a signal to a process, with all below it unless ``tree`` is false."""
        self.call("signal", name=name, number=int(number), tree=tree)

    def kill(self, name: str) -> dict[str, Any]:
        """SIGKILL a process and all below it; returns once they are gone."""
        return self.call("kill", name=name)

    def stop(self, name: str, grace_s: float = 10.0) -> dict[str, Any]:
        """End a process in its own way, by force after ``grace_s``; ``forced`` says which."""
        return self.call("stop", timeout_s=grace_s + _ANSWER_S, name=name, grace=grace_s)

    def settle(self, name: str, timeout_s: float = _ANSWER_S) -> None:
        """Wait until a process that was told to end is gone; whoever told it may be dead."""
        deadline = time.monotonic() + timeout_s
        while True:
            described = self.services().get(name, {})
            if not (described.get("running") and described.get("ending")):
                return
            if time.monotonic() > deadline:
                raise KeeperError(
                    f"{name} was told to end and did not.",
                    expected=f"an end within {timeout_s:g} s",
                    actual=f"still running as pid {described['pid']}",
                )
            time.sleep(0.01)

    def alive(self) -> bool:
        """Whether a keeper answers under this run's address."""
        try:
            self.call("status", timeout_s=5.0)
        except KeeperError:
            return False
        return True

    def shutdown(self) -> None:
        """End every process of the run, remove its scratch directory, and end the keeper."""
        with contextlib.suppress(KeeperError):
            pid = self.call("status")["pid"]
            self.call("shutdown")
            deadline = time.monotonic() + 5.0
            while procfs.is_alive(pid) and time.monotonic() < deadline:
                if self._process is not None:
                    self._process.poll()
                time.sleep(0.005)
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._process is not None:
            self._process.wait(timeout=15.0)


def lock_path(scratch: Path) -> Path:
    """The file whose lock a living keeper holds."""
    return scratch / LOCK_NAME


def last_words(described: dict[str, Any], lines: int = 12) -> str:
    """What a process wrote at the end of its present life, for an error message."""
    return tail(Path(described["log"]), lines, described["log_start"])


def tail(log: Path, lines: int = 12, start: int = 0) -> str:
    """The last lines of a log, none of them from before the byte ``start``."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            text = file.read().decode("utf-8", "replace").strip()
    except OSError as error:
        return str(error)
    return "\n".join(text.splitlines()[-lines:])[-3000:] or "(it ended without a word)"
