"""Pause: a role keeps its connections and answers nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import RoleFault, pausable
from harness.drivers.base import ProcessIds, Stack


@dataclass(frozen=True)
class PauseRole(RoleFault):
    """SIGSTOP of the role and all its children; healing lets them go on."""

    slug: ClassVar[str] = "pause"
    sentence: ClassVar[str] = "The role holds its connections and answers nothing (SIGSTOP)."

    def check_target(self, stack: Stack) -> None:
        """It must be possible to freeze the role."""
        super().check_target(stack)
        pausable(stack)

    def inject(self, stack: Stack) -> None:
        """Freeze the role."""
        pausable(stack).pause(self.role)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Probes wait in silence where the role answered before."""
        seen = self.look(stack)
        return Proof(
            seen.outcome == "silent" and before["outcome"] == "answered",
            {"before": before["outcome"], "now": seen.outcome, "seconds": round(seen.seconds, 3)},
        )

    def heal(self, stack: Stack) -> None:
        """Let the role go on; one that is down has nothing to go on with."""
        if isinstance(stack, ProcessIds) and not stack.pids(self.role):
            return
        pausable(stack).resume(self.role)
