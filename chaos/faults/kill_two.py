"""Two roles killed: one after the other, as fast as asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Fault, Proof, in_range
from chaos.faults.kill import KillRole
from chaos.faults.role_fault import killable
from harness.core.errors import UsageError
from harness.drivers.base import Stack

_STARTED_LAST = ("auth", "gateway", "edge")
"""Roles that are ready once what they rest on is, in the order in which they rest on each other."""


@dataclass(frozen=True)
class KillTwo(Fault):
    """SIGKILL of ``role``, and ``apart_s`` seconds later of ``other``, which may have been midway
    through making up for the first. Healing starts both, the one that rests on the other last."""

    role: str
    other: str
    apart_s: float = 0.0

    slug: ClassVar[str] = "kill-two"
    sentence: ClassVar[str] = "Two roles' processes end (SIGKILL), one shortly after the other."

    def __post_init__(self) -> None:
        in_range(self.slug, "apart_s", self.apart_s, 0, 60, "s")
        if self.role == self.other:
            raise UsageError(
                f"The fault {self.slug!r} hits two roles.",
                expected="two that differ",
                actual=f"{self.role} twice",
                next_step="use the fault 'kill' for one role",
            )
        self._kills()

    @property
    def on(self) -> str:
        """The role that dies first."""
        return self.role

    def check_target(self, stack: Stack) -> None:
        """Both can be killed and started."""
        super().check_target(stack)
        for kill in self._kills():
            kill.check_target(stack)

    def before(self, stack: Stack) -> dict[str, Any]:
        """Look whether both answer while all is well."""
        return {kill.role: kill.before(stack) for kill in self._kills()}

    def inject(self, stack: Stack) -> None:
        """Kill the one, wait, kill the other."""
        killable(stack).kill(self.role)
        time.sleep(self.apart_s)
        killable(stack).kill(self.other)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Each refuses connections and was ended by SIGKILL."""
        proofs = {kill.role: kill.prove(stack, before[kill.role]) for kill in self._kills()}
        return Proof(
            all(proof.ok for proof in proofs.values()),
            {role: proof.seen for role, proof in proofs.items()},
        )

    def heal(self, stack: Stack) -> None:
        """Start each unless it answers already."""
        for kill in self._in_order():
            kill.heal(stack)

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Both are ready again and answer."""
        proofs = {
            kill.role: kill.prove_healed(stack, before[kill.role]) for kill in self._in_order()
        }
        return Proof(
            all(proof.ok for proof in proofs.values()),
            {role: proof.seen for role, proof in proofs.items()},
        )

    def _kills(self) -> tuple[KillRole, KillRole]:
        return KillRole(self.role), KillRole(self.other)

    def _in_order(self) -> list[KillRole]:
        return sorted(
            self._kills(),
            key=lambda kill: _STARTED_LAST.index(kill.role) if kill.role in _STARTED_LAST else -1,
        )
