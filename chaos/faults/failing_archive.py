"""Failing archive: the metadata store can't copy its write-ahead log away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import sql

from chaos.faults.base import Proof
from chaos.faults.database import DatabaseFault, admin
from harness.core.errors import NotAllowed
from harness.drivers.base import Stack

COMMAND = "/bin/false"
_SEEN_S = 30.0
_AUTO = "postgresql.auto.conf"


@dataclass(frozen=True)
class FailingArchive(DatabaseFault):
    """``archive_command`` ends with 1 for each segment: they pile up, and a restore to a point in
    time reaches no further than before."""

    slug: ClassVar[str] = "failing-archive"
    sentence: ClassVar[str] = "The metadata store's archive command fails for every segment."

    def check_target(self, stack: Stack) -> None:
        """The store archives at all."""
        super().check_target(stack)
        with admin(stack) as connection:
            row = connection.execute("SHOW archive_mode").fetchone()
        if row is None or row[0] == "off":
            raise NotAllowed(
                "The metadata store archives nothing, so its archive can't fail.",
                expected="archive_mode = on",
                actual="off",
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """How often archiving has failed so far, and what is archived now."""
        return self._counts(stack)

    def inject(self, stack: Stack) -> None:
        """Set the command, remembering one that was set the same way."""
        with admin(stack) as connection:
            row = connection.execute(
                "SELECT setting, sourcefile FROM pg_settings WHERE name = 'archive_command'"
            ).fetchone()
            assert row is not None
            notes = self.notes(stack)
            if notes.read() is None:
                own = str(row[1] or "").endswith(_AUTO) and row[0] != COMMAND
                notes.write(command=row[0] if own else None)
            self._set(connection, COMMAND)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A fresh segment is finished, and the archiver is seen to fail with it."""
        now = self._after_a_segment(stack, lambda now: now["failed"] > before["failed"])
        return Proof(now["failed"] > before["failed"], {"before": before, "now": now})

    def heal(self, stack: Stack) -> None:
        """Put the old command back."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        with admin(stack) as connection:
            self._set(connection, kept["command"])
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A fresh segment is archived."""
        answers = super().prove_healed(stack, before)
        then = self._counts(stack)
        now = self._after_a_segment(stack, lambda now: now["archived"] > then["archived"])
        return Proof(answers.ok and now["archived"] > then["archived"], {"then": then, "now": now})

    def _after_a_segment(self, stack: Stack, enough: Any) -> dict[str, Any]:
        with admin(stack) as connection:
            # A message of no consequence, since an empty segment is not switched.
            connection.execute("SELECT pg_logical_emit_message(false, 'ragdrill', 'archive')")
            connection.execute("SELECT pg_switch_wal()")
        deadline = time.monotonic() + _SEEN_S
        while not enough(now := self._counts(stack)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return now

    @staticmethod
    def _set(connection: Any, command: str | None) -> None:
        if command is None:
            connection.execute("ALTER SYSTEM RESET archive_command")
        else:
            connection.execute(
                sql.SQL("ALTER SYSTEM SET archive_command = {}").format(sql.Literal(command))
            )
        connection.execute("SELECT pg_reload_conf()")

    @staticmethod
    def _counts(stack: Stack) -> dict[str, Any]:
        with admin(stack) as connection:
            row = connection.execute(
                "SELECT failed_count, archived_count FROM pg_stat_archiver"
            ).fetchone()
        assert row is not None
        return {"failed": row[0], "archived": row[1]}
