"""The owner's side of the reaper: started before the first container, told to go at the end."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

from harness.core.run import CHECKOUT
from harness.drivers.containers.engine import EngineError
from harness.drivers.containers.reaper import ARMED

ARMED_S = 60.0
_GONE_S = 90.0


class Reaper:
    """A reaper of one run, from :meth:`launch` to :meth:`dismiss` or the end of this process."""

    def __init__(self, run_id: str, scratch: Path) -> None:
        self.run_id, self.scratch = run_id, scratch
        self._pipe: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def launch(self, log_dir: Path) -> None:
        """Start it; returns once it watches.

        Raises:
            EngineError: it does not come up; without one no container may be started.
        """
        read, self._pipe = os.pipe()
        log = log_dir / "reaper.log"
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "harness.drivers.containers.reaper"),
                        *(self.run_id, str(os.getpid()), str(read), str(self.scratch)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    pass_fds=(read,),
                    # Neither Ctrl-C in the terminal nor the end of its session may reach it.
                    start_new_session=True,
                    cwd=CHECKOUT,
                )
        finally:
            os.close(read)
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], ARMED_S)
        said = self._process.stdout.readline() if readable else b""
        self._process.stdout.close()
        if said != ARMED:
            self.dismiss()
            raise EngineError(
                "The reaper, which removes a run's containers should it die, did not come up.",
                expected=f"it armed within {ARMED_S:.0f} s",
                actual=log.read_text(errors="replace").strip()[-500:] or "nothing",
                next_step=f"read {log}",
            )

    def hand_over(self, pid: int) -> None:
        """From now on wait for the end of another process, whatever becomes of this one.

        Safe to call twice.
        """
        if self._pipe is not None:
            os.write(self._pipe, f"{pid}\n".encode())
            os.close(self._pipe)
            self._pipe = self._process = None

    def dismiss(self) -> None:
        """Let it go: it looks once more, removes what is left and ends. Safe to call twice."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GONE_S)
