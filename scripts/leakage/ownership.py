"""The metadata store's side: who owns which point, in order, and the judgement on strangers."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from harness.core.errors import TargetError
from scripts.leakage.claims import Point, as_text, claim_of, note_of
from scripts.leakage.findings import Finding, RowFinding

SQL_FILE = Path(__file__).resolve().parents[1] / "leakage_audit.sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
ROWS = 10_000
CONNECT_S = 5

Claim = tuple[str, str, str, str]


def statements() -> dict[str, str]:
    """Return the statements of ``scripts/leakage_audit.sql`` by name."""
    parts = _NAME.split(SQL_FILE.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class Ownership:
    """The metadata store, as its owner. A context manager; reads only.

    Raises:
        TargetError: from every method, when the database does not serve or hides rows.
    """

    def __init__(self, dsn: str) -> None:
        self._statements = statements()
        self._connections: list[psycopg.Connection[Any]] = []
        try:
            # One transaction for the long listing, one statement after the other for the rest: a
            # judgement must see what was committed up to now.
            self._listing = self._connect(dsn, autocommit=False)
            self._now = self._connect(dsn, autocommit=True)
            self._now.execute(self._statements["visibility"])
            self._now.execute(self._statements["points_table"])
        except psycopg.Error as error:
            self.close()
            raise _refused(error) from error

    def _connect(self, dsn: str, *, autocommit: bool) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            dsn,
            autocommit=autocommit,
            connect_timeout=CONNECT_S,
            application_name="leakage-audit",
            # Sorting the owners of a million points takes 16 MB more than the server's default.
            options="-c work_mem=32MB -c jit=off -c TimeZone=UTC -c client_min_messages=warning",
        )
        self._connections.append(connection)
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_about: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    def owners(self) -> Owners:
        """Return the owners of all points, to be read once in the order of the points' ids."""
        return Owners(self._listing)

    def chunks(self) -> int:
        """Return how many chunks there are, which is how many points there should be."""
        try:
            row = self._now.execute("SELECT count(*) FROM public.chunks").fetchone()
        except psycopg.Error as error:
            raise _refused(error) from error
        return int(row[0]) if row else 0

    def judge(self, collection: str, points: Sequence[Point]) -> list[Finding]:
        """Return each point's kind and owner, in the order given.

        ``scripts/leakage_audit.sql`` decides, on what is committed when it is called. Kinds are
        those of :data:`scripts.leakage.findings.KINDS`, ``sound`` and ``pending``.
        """
        ids = {str(point["id"]): point["id"] for point in points}
        try:
            with self._now.transaction():
                self._now.execute("TRUNCATE leakage_points")
                with self._now.cursor().copy("COPY leakage_points FROM STDIN") as copy:
                    for point in points:
                        claim = claim_of(point)
                        fields = [_storable(as_text(value)) for value in claim]
                        copy.write_row((collection, str(point["id"]), *fields, note_of(claim)))
                rows = self._now.execute(self._statements["points"]).fetchall()
        except psycopg.Error as error:
            raise _refused(error) from error
        return [Finding(row[0], ids[row[1]], *row[2:]) for row in rows]

    def rows(self) -> list[RowFinding]:
        """Return the rows that contradict each other."""
        return [RowFinding(*row) for row in self._all("rows")]

    def namespaces(self) -> list[tuple[str, str, int, int]]:
        """Return tenant, persona, number of documents and of chunks of each namespace."""
        return self._all("namespaces")

    def _all(self, name: str) -> list[Any]:
        try:
            return self._now.execute(self._statements[name]).fetchall()
        except psycopg.Error as error:
            raise _refused(error) from error


class Owners:
    """The owner of each point, by a server-side cursor: one pass, two batches in memory."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._cursor = connection.cursor(name="owners")
        self._rows: list[tuple[str, str, str, str, str]] = []
        self._ended = False
        try:
            self._cursor.execute(
                sql.SQL(
                    "SELECT point_id::text, tenant_id, persona, document_id, chunk_id"
                    " FROM public.chunks ORDER BY point_id"
                )
            )
        except psycopg.Error as error:
            raise _refused(error) from error

    def up_to(self, last: str) -> dict[str, Claim]:
        """Return the owners of all points after the last call's up to ``last`` (a UUID)."""
        try:
            while not self._ended and (not self._rows or self._rows[-1][0] <= last):
                batch = self._cursor.fetchmany(ROWS)
                self._rows += batch
                self._ended = len(batch) < ROWS
        except psycopg.Error as error:
            raise _refused(error) from error
        cut = bisect_right(self._rows, last, key=lambda row: row[0])
        known = {row[0]: row[1:] for row in self._rows[:cut]}
        del self._rows[:cut]
        return known

    def close(self) -> None:
        """End the pass and its transaction."""
        self._cursor.close()
        self._connection.rollback()


def _storable(value: str | None) -> str | None:
    # The database takes no NUL in a text, and no chunk of it holds one, so nothing gets equal.
    return value if value is None else value.replace("\x00", "�")


def _refused(error: psycopg.Error) -> TargetError:
    lines = str(error).strip().splitlines()
    return TargetError(
        "The metadata store does not let the audit read it.",
        expected="DATABASE_URL with the owner's rights on the gateway's tables",
        actual=lines[0] if lines else type(error).__name__,
        next_step=error.diag.message_hint or "check DATABASE_URL, and that the database runs",
    )
