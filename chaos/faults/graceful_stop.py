"""Graceful stop: a role is asked to end, and stays down."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import RoleFault, restartable
from harness.drivers.base import ProcessIds, Stack


@dataclass(frozen=True)
class GracefulStop(RoleFault):
    """Stops the role in its own orderly way; healing starts it again."""

    slug: ClassVar[str] = "graceful-stop"
    sentence: ClassVar[str] = "The role is asked to end, does so in its own way, and stays down."
    needs: ClassVar[tuple[str, ...]] = ("fault", "restart")

    def check_target(self, stack: Stack) -> None:
        """It must be possible to stop and start the role."""
        super().check_target(stack)
        restartable(stack)

    def inject(self, stack: Stack) -> None:
        """Stop and return once it is gone."""
        restartable(stack).stop(self.role)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Connections are refused where the role answered before, and nothing had to be killed."""
        seen = self.look_until_refused(stack)
        ok = seen.outcome == "refused" and before["outcome"] == "answered"
        told: dict[str, Any] = {"before": before["outcome"], "now": seen.outcome}
        if isinstance(stack, ProcessIds):
            told |= {"left": len(stack.pids(self.role)), "exit": stack.exit_status(self.role)}
            ok = ok and not told["left"] and told["exit"] not in (None, -signal.SIGKILL)
        return Proof(ok, told)

    def heal(self, stack: Stack) -> None:
        """Start the role unless it answers already."""
        self.start_if_down(stack)
