"""Common ground of the faults that hit the process or container of a role."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from chaos.faults.base import Fault, Proof
from chaos.faults.notes import Notes
from chaos.faults.probe import Look, look
from harness.core.errors import NotAllowed, UsageError
from harness.core.registry import ROLES
from harness.drivers.base import Kill, Pause, ProcessIds, Restart, Stack, Volume

# A command that ends a role may return before the role is gone; its sockets then still reset.
GONE_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class RoleFault(Fault):
    """Hits ``role`` as a whole."""

    role: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise UsageError(
                f"The fault {self.slug!r} hits a role.",
                expected=", ".join(ROLES),
                actual=repr(self.role),
            )

    @property
    def on(self) -> str:
        """The role."""
        return self.role

    def check_target(self, stack: Stack) -> None:
        """Refuse a target without the permission or without the role."""
        super().check_target(stack)
        if self.role not in stack.roles():
            raise NotAllowed(
                f"The target {stack.name!r} has no {self.role}.",
                expected=f"the role {self.role}",
                actual=", ".join(stack.roles()),
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """Look whether the role answers while all is well."""
        return {"outcome": self.look(stack).outcome}

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The role is ready again and answers."""
        stack.ready(self.role)
        seen = self.look(stack)
        return Proof(seen.outcome == "answered", {"outcome": seen.outcome})

    def look(self, stack: Stack) -> Look:
        """Probe the role directly."""
        endpoint = stack.endpoint(self.role)
        return look(endpoint.host, endpoint.port, self.role, timeout=1.5)

    def look_until_refused(self, stack: Stack) -> Look:
        """Probe the role directly until it refuses, or as it still is after ``GONE_WITHIN_S``."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while (seen := self.look(stack)).outcome != "refused" and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        return seen

    def notes(self, stack: Stack) -> Notes:
        """What this fault remembers for its undo."""
        return Notes(stack, self.slug, self.on)

    def start_if_down(self, stack: Stack) -> None:
        """Start the role unless something listens for it already.

        Who injected may have been killed right after telling it to stop: then it still answers for
        a moment, so what is ending is waited for first.
        """
        if isinstance(stack, ProcessIds):
            stack.settle(self.role)
        if self.look(stack).outcome == "refused":
            restartable(stack).start(self.role)

    def start_if_down_quietly(self, stack: Stack) -> None:
        """As :meth:`start_if_down`, on a target that may not let roles be started."""
        if isinstance(stack, Restart):
            self.start_if_down(stack)


def killable(stack: Stack) -> Kill:
    """The target as one whose roles can be killed; raises NotAllowed."""
    if not isinstance(stack, Kill):
        raise _lacks(stack, "killed", "a driver that holds the processes (embedded)")
    return stack


def pausable(stack: Stack) -> Pause:
    """The target as one whose roles can be frozen; raises NotAllowed."""
    if not isinstance(stack, Pause):
        raise _lacks(stack, "paused", "a driver that holds the processes (embedded)")
    return stack


def restartable(stack: Stack) -> Restart:
    """The target as one whose roles can be stopped and started; raises NotAllowed."""
    if not isinstance(stack, Restart):
        raise _lacks(
            stack,
            "stopped and started",
            "a driver that can, or [control.<role>] commands in the target file",
        )
    return stack


def visible(stack: Stack) -> ProcessIds:
    """The target as one whose processes can be looked at; raises NotAllowed."""
    if not isinstance(stack, ProcessIds):
        raise _lacks(stack, "seen as processes", "a driver on this machine (embedded)")
    return stack


def with_volumes(stack: Stack) -> Volume:
    """The target as one whose data directories can be reached; raises NotAllowed."""
    if not isinstance(stack, Volume):
        raise _lacks(stack, "reached on disk", "a driver on this machine (embedded)")
    return stack


def _lacks(stack: Stack, done: str, expected: str) -> NotAllowed:
    return NotAllowed(
        f"The roles of the target {stack.name!r} can't be {done}.",
        expected=expected,
        actual=type(stack).__name__,
    )
