"""Slow start: a role is started, is there as a process, and serves only much later."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.notes import Notes
from chaos.faults.role_fault import RoleFault, pausable, restartable, visible
from harness.core.errors import HarnessError
from harness.drivers.base import Stack

_APPEARS_S = 20.0
_STARTS: dict[str, tuple[threading.Thread, threading.Thread]] = {}


@dataclass(frozen=True)
class SlowStart(RoleFault):
    """Stops the role and starts it frozen, so that it serves ``delay_s`` seconds later than it
    would. Healing lets it go on at once."""

    delay_s: float

    slug: ClassVar[str] = "slow-start"
    sentence: ClassVar[str] = "The role restarts and takes much longer until it serves."
    needs: ClassVar[tuple[str, ...]] = ("fault", "restart")

    def __post_init__(self) -> None:
        super().__post_init__()
        # The embedded driver gives a starting role 60 s.
        in_range(self.slug, "delay_s", self.delay_s, 1, 45, "s")

    def check_target(self, stack: Stack) -> None:
        """The role can be stopped, started, frozen and looked at."""
        super().check_target(stack)
        restartable(stack)
        pausable(stack)
        visible(stack)

    def before(self, stack: Stack) -> dict[str, Any]:
        """Which processes fill the role now."""
        return super().before(stack) | {"pids": list(visible(stack).pids(self.role))}

    def inject(self, stack: Stack) -> None:
        """Stop, start, and freeze the new process before it can serve."""
        notes = self.notes(stack)
        notes.write(until=time.time() + self.delay_s)
        restartable(stack).stop(self.role)
        start = threading.Thread(target=self._start, args=(stack,), daemon=True)
        start.start()
        deadline = time.monotonic() + _APPEARS_S
        while not visible(stack).pids(self.role) and time.monotonic() < deadline:
            time.sleep(0.002)
        with contextlib.suppress(HarnessError):
            pausable(stack).pause(self.role)
        thaw = threading.Thread(target=self._thaw, args=(stack, notes), daemon=True)
        thaw.start()
        _STARTS[str(notes.path)] = (start, thaw)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """There is a new process, and it does not answer."""
        pids, seen = visible(stack).pids(self.role), self.look(stack)
        new = bool(pids) and not set(pids) & set(before["pids"])
        return Proof(
            new and before["outcome"] == "answered" and seen.outcome != "answered",
            {"before": before["pids"], "now": list(pids), "outcome": seen.outcome},
        )

    def heal(self, stack: Stack) -> None:
        """Let the new process go on, wait for the start under way; start it if there is none."""
        notes = self.notes(stack)
        notes.forget()
        if visible(stack).pids(self.role):
            pausable(stack).resume(self.role)
        for thread in _STARTS.pop(str(notes.path), ()):
            thread.join(timeout=90.0)
        self.start_if_down(stack)

    def start_if_down(self, stack: Stack) -> None:
        """A process that is there and not yet listening is starting already."""
        if not visible(stack).pids(self.role):
            super().start_if_down(stack)

    def _start(self, stack: Stack) -> None:
        with contextlib.suppress(HarnessError):
            restartable(stack).start(self.role)

    def _thaw(self, stack: Stack, notes: Notes) -> None:
        while (kept := notes.read()) is not None and time.time() < kept["until"]:
            time.sleep(0.1)
        with contextlib.suppress(HarnessError):
            pausable(stack).resume(self.role)
