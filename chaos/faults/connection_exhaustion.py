"""Connection exhaustion: the metadata store has no connection left for its clients."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults import companion
from chaos.faults.base import Proof, in_range
from chaos.faults.database import DatabaseFault, client_dsn, refusal
from harness.core.errors import TargetError
from harness.drivers.base import Stack

_REFUSALS = ("too many clients", "remaining connection slots", "too many connections")
_SEEN_S = 10.0


@dataclass(frozen=True)
class ConnectionExhaustion(DatabaseFault):
    """A process of its own takes every connection that an ordinary client can get, up to ``most``,
    and each that becomes free. Those reserved for superusers stay, so that an operator gets in."""

    most: int = 1000

    slug: ClassVar[str] = "connection-exhaustion"
    sentence: ClassVar[str] = "The metadata store has no connection left for its clients."

    def __post_init__(self) -> None:
        in_range(self.slug, "most", self.most, 1, 10_000, "connections")

    def before(self, stack: Stack) -> dict[str, Any]:
        """Whether a client gets a connection while all is well."""
        return {"refusal": refusal(client_dsn(stack))}

    def inject(self, stack: Stack) -> None:
        """Start the process that holds them; returns once the store refuses one."""
        notes = self.notes(stack)
        notes.write()
        settings = {"dsn": client_dsn(stack), "most": self.most}
        try:
            holding = companion.start("connections", stack.run_id, settings)
        except companion.CompanionError as error:
            raise TargetError("The connections could not be taken.", actual=str(error)) from error
        notes.write(companion=holding)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A fresh client is refused for want of connections, where it was let in before."""
        problem = refusal(client_dsn(stack)) or ""
        full = any(words in problem for words in _REFUSALS)
        return Proof(full and before["refusal"] is None, {"refusal": problem or "none"})

    def heal(self, stack: Stack) -> None:
        """End the holder, and wait until the store has noticed."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        if "companion" in kept:
            companion.end(kept["companion"])
        deadline = time.monotonic() + _SEEN_S
        while refusal(client_dsn(stack)) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        notes.forget()
