"""Common ground of the faults inside the metadata store (PostgreSQL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import psycopg

from chaos.faults.base import Fault, Proof
from chaos.faults.notes import Notes
from harness.core.errors import NotAllowed, TargetError
from harness.drivers.base import Stack

ROLE = "metadata"
_CONNECT_S = 10


@dataclass(frozen=True)
class DatabaseFault(Fault):
    """Hits the metadata store through SQL, with its owner's rights."""

    slug_on: ClassVar[str] = ROLE

    @property
    def on(self) -> str:
        """The metadata store."""
        return self.slug_on

    def check_target(self, stack: Stack) -> None:
        """There is a metadata store, and its owner's credentials are known."""
        super().check_target(stack)
        if ROLE not in stack.roles() or "admin_dsn" not in stack.credentials(ROLE):
            raise NotAllowed(
                f"The target {stack.name!r} has no metadata store that we may administer.",
                expected="the role metadata with its owner's credentials",
                actual=", ".join(stack.roles()),
            )

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A client's connection is taken and answered."""
        stack.ready(ROLE)
        problem = refusal(client_dsn(stack))
        return Proof(problem is None, {"connection": problem or "answered"})

    def notes(self, stack: Stack) -> Notes:
        """What this fault remembers for its undo."""
        return Notes(stack, self.slug, self.on)


def admin(stack: Stack) -> psycopg.Connection[Any]:
    """Connect as the owner (autocommit); the caller closes it. Raises TargetError."""
    try:
        return psycopg.connect(
            stack.credentials(ROLE)["admin_dsn"], autocommit=True, connect_timeout=_CONNECT_S
        )
    except psycopg.OperationalError as error:
        raise TargetError(
            "The metadata store does not let its owner in.", actual=str(error).strip()
        ) from error


def client_dsn(stack: Stack) -> str:
    """The address as an ordinary client has it; the owner's where there is no other."""
    known = stack.credentials(ROLE)
    return known.get("gateway_dsn") or known["admin_dsn"]


def refusal(dsn: str) -> str | None:
    """Open a fresh connection and ask for 1; returns why that failed, or ``None``.

    A refusal at log-in carries no SQLSTATE in libpq, so the server's words are what there is.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=_CONNECT_S) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return f"{error.sqlstate or ''} {error}".strip()
    return None
