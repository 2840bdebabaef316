"""Restart: a role ends in its own way and comes back at once, as another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import RoleFault, restartable, visible
from harness.drivers.base import Stack


@dataclass(frozen=True)
class RestartRole(RoleFault):
    """Stops and starts the role: its connections and whatever it held in memory are gone."""

    slug: ClassVar[str] = "restart"
    sentence: ClassVar[str] = "The role ends in its own way and comes back as another process."
    needs: ClassVar[tuple[str, ...]] = ("fault", "restart")

    def check_target(self, stack: Stack) -> None:
        """The role can be restarted, and its processes seen, or nothing would prove it."""
        super().check_target(stack)
        restartable(stack)
        visible(stack)

    def before(self, stack: Stack) -> dict[str, Any]:
        """Which processes fill the role now."""
        return super().before(stack) | {"pids": list(visible(stack).pids(self.role))}

    def inject(self, stack: Stack) -> None:
        """Stop and start; returns once the role is ready."""
        restartable(stack).restart(self.role)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """None of the processes is one of those before, and the role answers."""
        pids, seen = visible(stack).pids(self.role), self.look(stack)
        replaced = bool(pids) and bool(before["pids"]) and not set(pids) & set(before["pids"])
        return Proof(
            replaced and seen.outcome == "answered",
            {"before": before["pids"], "now": list(pids), "outcome": seen.outcome},
        )

    def heal(self, stack: Stack) -> None:
        """Start the role should it have stayed down."""
        self.start_if_down(stack)
