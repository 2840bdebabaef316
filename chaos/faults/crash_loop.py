"""Crash loop: a role comes up and dies, again and again."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.notes import Notes
from chaos.faults.role_fault import RoleFault, killable, restartable, visible
from harness.core.errors import HarnessError, TargetError
from harness.drivers.base import Stack

_END_S = 90.0
_SEEN_S = 60.0
_LOOPS: dict[str, threading.Thread] = {}


@dataclass(frozen=True)
class CrashLoop(RoleFault):
    """Kills the role, lets it come up, kills it ``up_s`` seconds later, and so on.

    The loop runs in the process that injected it: it ends with that process, and as soon as the
    fault's notes are gone, whoever removed them.
    """

    up_s: float = 0.5

    slug: ClassVar[str] = "crash-loop"
    sentence: ClassVar[str] = "The role comes up, dies (SIGKILL) and comes up, again and again."
    needs: ClassVar[tuple[str, ...]] = ("fault", "restart")

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "up_s", self.up_s, 0.1, 60, "s")

    def check_target(self, stack: Stack) -> None:
        """The role can be killed, started and looked at."""
        super().check_target(stack)
        killable(stack)
        restartable(stack)
        visible(stack)

    def inject(self, stack: Stack) -> None:
        """Kill the role for the first time and begin the loop."""
        notes = self.notes(stack)
        notes.write(up_s=self.up_s)
        killable(stack).kill(self.role)
        thread = threading.Thread(
            target=self._loop, args=(stack, notes), daemon=True, name=f"crash-loop {self.role}"
        )
        _LOOPS[str(notes.path)] = thread
        thread.start()

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """At least two generations of processes are seen to come and to be gone."""
        generations: list[set[int]] = []
        deadline = time.monotonic() + _SEEN_S
        first = time.monotonic() + 2 * self.up_s + 1
        gone: list[set[int]] = []
        while time.monotonic() < deadline:
            pids = set(visible(stack).pids(self.role))
            gone = [each for each in generations if not each & pids]
            if len(gone) >= 2 or (self.notes(stack).read() is None and time.monotonic() > first):
                break
            if pids and not any(each & pids for each in generations):
                generations.append(pids)
            time.sleep(0.02)
        seen = [sorted(each) for each in generations]
        return Proof(len(gone) >= 2, {"generations": seen, "gone": len(gone)})

    def heal(self, stack: Stack) -> None:
        """End the loop and start the role unless it answers."""
        notes = self.notes(stack)
        notes.forget()
        thread = _LOOPS.pop(str(notes.path), None)
        if thread is not None:
            thread.join(timeout=_END_S)
            if thread.is_alive():
                raise TargetError(
                    "The crash loop does not end.",
                    expected=f"its end within {_END_S:.0f} s",
                    actual=f"{self.role} is still being started",
                )
        self.start_if_down(stack)

    def _loop(self, stack: Stack, notes: Notes) -> None:
        while notes.read() is not None:
            try:
                restartable(stack).start(self.role)
                time.sleep(self.up_s)
                if notes.read() is None:
                    return
                killable(stack).kill(self.role)
            except HarnessError:
                # Somebody else started or ended it meanwhile; the proof says whether it loops.
                time.sleep(0.1)
