"""Kill: a role's processes end at once, with no chance to say goodbye."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import RoleFault, killable, restartable
from harness.drivers.base import ProcessIds, Stack


@dataclass(frozen=True)
class KillRole(RoleFault):
    """SIGKILL of the role and all its children; healing starts it again."""

    slug: ClassVar[str] = "kill"
    sentence: ClassVar[str] = "The role's processes end at once (SIGKILL), children included."

    def check_target(self, stack: Stack) -> None:
        """It must be possible to kill the role, and to start it again."""
        super().check_target(stack)
        killable(stack)
        restartable(stack)

    def inject(self, stack: Stack) -> None:
        """Kill and return once the processes are gone."""
        killable(stack).kill(self.role)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Connections are refused where the role answered before, and it was a SIGKILL.

        A role that was asked to stop had time to flush what a crash would have lost.
        """
        seen = self.look_until_refused(stack)
        ok = seen.outcome == "refused" and before["outcome"] == "answered"
        told: dict[str, Any] = {"before": before["outcome"], "now": seen.outcome}
        if isinstance(stack, ProcessIds):
            told |= {"left": len(stack.pids(self.role)), "exit": stack.exit_status(self.role)}
            ok = ok and not told["left"] and told["exit"] == -signal.SIGKILL
        return Proof(ok, told)

    def heal(self, stack: Stack) -> None:
        """Start the role unless it answers already."""
        self.start_if_down(stack)
