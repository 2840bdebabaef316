"""Kill: a role's processes end at once, with no chance to say goodbye."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import RoleFault
from harness.core.errors import TargetError
from harness.drivers.base import Kill, Restart, Stack


@dataclass(frozen=True)
class KillRole(RoleFault):
    """SIGKILL of the role and all its children; healing starts it again."""

    slug: ClassVar[str] = "kill"
    sentence: ClassVar[str] = "The role's processes end at once (SIGKILL), children included."

    def inject(self, stack: Stack) -> None:
        """Kill and return once the processes are gone."""
        if not isinstance(stack, Kill):
            raise TargetError("This target's roles can't be killed.", actual=stack.name)
        stack.kill(self.role)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Connections are refused where the role answered before."""
        seen = self.look(stack)
        return Proof(
            seen.outcome == "refused" and before["outcome"] == "answered",
            {"before": before["outcome"], "now": seen.outcome},
        )

    def heal(self, stack: Stack) -> None:
        """Start the role unless it answers already."""
        if not isinstance(stack, Restart):
            raise TargetError("This target's roles can't be started.", actual=stack.name)
        if self.look(stack).outcome == "refused":
            stack.start(self.role)
