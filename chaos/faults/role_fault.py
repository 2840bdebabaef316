"""Common ground of the faults that hit the process or container of a role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaos.faults.base import Fault, Proof
from chaos.faults.probe import Look, look
from harness.core.errors import UsageError
from harness.core.registry import ROLES
from harness.drivers.base import Stack


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
