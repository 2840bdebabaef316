"""Pause: a role keeps its connections and answers nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import RoleFault
from harness.core.errors import TargetError
from harness.drivers.base import Pause, Stack


@dataclass(frozen=True)
class PauseRole(RoleFault):
    """SIGSTOP of the role and all its children; healing lets them go on."""

    slug: ClassVar[str] = "pause"
    sentence: ClassVar[str] = "The role holds its connections and answers nothing (SIGSTOP)."

    def inject(self, stack: Stack) -> None:
        """Freeze the role."""
        _pausable(stack).pause(self.role)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Probes wait in silence where the role answered before."""
        seen = self.look(stack)
        return Proof(
            seen.outcome == "silent" and before["outcome"] == "answered",
            {"before": before["outcome"], "now": seen.outcome, "seconds": round(seen.seconds, 3)},
        )

    def heal(self, stack: Stack) -> None:
        """Let the role go on."""
        _pausable(stack).resume(self.role)


def _pausable(stack: Stack) -> Pause:
    if not isinstance(stack, Pause):
        raise TargetError("This target's roles can't be paused.", actual=stack.name)
    return stack
