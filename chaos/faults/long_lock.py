"""Long lock: somebody holds a lock on a hot table and does not let go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from chaos.faults import companion
from chaos.faults.base import Proof
from chaos.faults.database import DatabaseFault, admin
from harness.core.errors import TargetError, UsageError
from harness.drivers.base import Stack

MODES = ("SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE")
_WAIT_MS = 400
_LOCKED = "55P03"
_PROBES = {
    # What each mode is to stop: a writer's lock, or a reader's (PostgreSQL manual, 13.3).
    "SHARE": "ROW EXCLUSIVE",
    "EXCLUSIVE": "ROW EXCLUSIVE",
    "ACCESS EXCLUSIVE": "ACCESS SHARE",
}


@dataclass(frozen=True)
class LongLock(DatabaseFault):
    """Holds ``table`` (``schema.name``) in ``mode`` inside a transaction that never ends:
    ``ACCESS EXCLUSIVE`` stops readers too, the others writers alone."""

    table: str = "public.chunks"
    mode: str = "ACCESS EXCLUSIVE"

    slug: ClassVar[str] = "long-lock"
    sentence: ClassVar[str] = "A transaction holds a lock on a hot table and does not end."

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*", self.table):
            raise UsageError(
                f"The fault {self.slug!r} locks a table.",
                expected="schema.name in lower case",
                actual=repr(self.table),
            )
        if self.mode not in MODES:
            raise UsageError(
                f"The fault {self.slug!r} can't lock in this mode.",
                expected=", ".join(MODES),
                actual=repr(self.mode),
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """Whether the table can be had while all is well."""
        return {"blocked": self._blocked(stack)}

    def inject(self, stack: Stack) -> None:
        """Start the process that holds the lock; returns once it has it."""
        notes = self.notes(stack)
        notes.write()
        settings = {
            "dsn": stack.credentials("metadata")["admin_dsn"],
            "table": self._quoted().as_string(),
            "mode": self.mode,
        }
        try:
            holding = companion.start("lock", stack.run_id, settings)
        except companion.CompanionError as error:
            raise TargetError(f"{self.table} could not be locked.", actual=str(error)) from error
        notes.write(companion=holding)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Another session waits for the table in vain (SQLSTATE 55P03) where it got it before."""
        now = self._blocked(stack)
        return Proof(
            now == _LOCKED and before["blocked"] is None, {"before": before["blocked"], "now": now}
        )

    def heal(self, stack: Stack) -> None:
        """End the holder: its server process rolls back."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        if "companion" in kept:
            companion.end(kept["companion"])
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The table can be had again."""
        answers = super().prove_healed(stack, before)
        now = self._blocked(stack, wait_ms=10_000)
        return Proof(answers.ok and now is None, {"blocked": now, **answers.seen})

    def _blocked(self, stack: Stack, wait_ms: int = _WAIT_MS) -> str | None:
        probe = sql.SQL("LOCK TABLE {} IN {} MODE").format(
            self._quoted(),
            sql.SQL(_PROBES[self.mode]),
        )
        with admin(stack) as connection:
            connection.execute(f"SET lock_timeout = {wait_ms:d}")
            try:
                with connection.transaction():
                    connection.execute(probe)
            except psycopg.errors.LockNotAvailable as error:
                return error.sqlstate or _LOCKED
            except psycopg.errors.UndefinedTable as error:
                raise TargetError(
                    f"There is no table {self.table} to lock.", actual=str(error).strip()
                ) from error
        return None

    def _quoted(self) -> sql.Identifier:
        return sql.Identifier(*self.table.split("."))
