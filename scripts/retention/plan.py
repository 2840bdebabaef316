"""What is due: read from the metadata store, document by document, in bounded memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from harness.core.errors import TargetError
from scripts.dayops.script import Busy
from scripts.retention.policy import Policy

CONNECT_S = 5
LOCK_S = 10
_LOCK = 0x7261676472696C6C
"""Of PostgreSQL's advisory locks: held by whoever prunes."""
_MODULUS = 1 << 256

# The one definition of what is due: dry run and removal both ask it. A row that was replaced
# meanwhile is young again; one without a date, or with one that lies ahead, is never due.
_FROM = """
    FROM public.documents AS d
    LEFT JOIN unnest(%(tenants)s::text[], %(cutoffs)s::timestamptz[])
        AS own (tenant_id, cutoff) ON own.tenant_id = d.tenant_id
"""
_WHERE = """
    WHERE d.tier = %(tier)s AND isfinite(d.ingested_at)
      AND d.ingested_at < coalesce(own.cutoff, %(cutoff)s)
      AND (cardinality(%(only)s::text[]) = 0 OR d.tenant_id = ANY (%(only)s::text[]))
"""
_FIELDS = "d.tenant_id, d.document_id, d.persona, d.version, d.ingested_at, d.content_sha256"

# The rows come locked in the order in which the gateway locks them, so that the two cannot wait
# for each other; and a row that somebody else had locked is judged again once it is ours.
BATCH = f"""
    SELECT {_FIELDS} {_FROM} {_WHERE}
      AND (d.tenant_id, d.document_id) IN (
        SELECT d.tenant_id, d.document_id {_FROM} {_WHERE} ORDER BY d.ingested_at LIMIT %(most)s)
    ORDER BY d.tenant_id, d.document_id
    FOR UPDATE OF d
"""

LISTED = f"""
    SELECT {_FIELDS},
           coalesce(array_agg(c.point_id ORDER BY c.position)
                    FILTER (WHERE c.point_id IS NOT NULL), '{{}}') AS points
    {_FROM}
    LEFT JOIN public.chunks AS c ON c.tenant_id = d.tenant_id AND c.document_id = d.document_id
    {_WHERE}
    GROUP BY d.tenant_id, d.document_id
    ORDER BY d.tenant_id COLLATE "C", d.document_id COLLATE "C"
"""

UNDATED = """
    SELECT tenant_id, document_id,
           CASE WHEN ingested_at IS NULL THEN 'no date'
                WHEN NOT isfinite(ingested_at) THEN 'no date'
                ELSE 'a date that lies ahead' END AS what
    FROM public.documents
    WHERE tier = %(tier)s
      AND (ingested_at IS NULL OR NOT isfinite(ingested_at)
           OR ingested_at > %(now)s::timestamptz + interval '1 day')
      AND (cardinality(%(only)s::text[]) = 0 OR tenant_id = ANY (%(only)s::text[]))
    ORDER BY 1, 2 LIMIT %(most)s
"""


@dataclass(frozen=True)
class Due:
    """One document that is due, with the ids of its points."""

    tenant: str
    document: str
    persona: str
    version: uuid.UUID
    ingested_at: datetime
    content_sha256: str
    points: tuple[str, ...]

    @classmethod
    def of(cls, row: dict[str, Any], points: list[Any]) -> Due:
        """Make one of a row of :data:`LISTED` or :data:`BATCH`."""
        return cls(
            row["tenant_id"],
            row["document_id"],
            row["persona"],
            row["version"],
            row["ingested_at"],
            row["content_sha256"],
            tuple(str(point) for point in points),
        )

    def as_line(self) -> bytes:
        """Return it as a line of JSON: names, a date and a checksum, never text."""
        told = {
            "tenant": self.tenant,
            "document": self.document,
            "persona": self.persona,
            "version": str(self.version),
            "ingested_at": self.ingested_at.isoformat(),
            "content_sha256": self.content_sha256,
            "points": list(self.points),
        }
        return json.dumps(told, ensure_ascii=False).encode() + b"\n"


class PlanDigest:
    """A sum over documents and their points: the same for the same plan, in whatever order."""

    def __init__(self) -> None:
        self.documents = self.points = self._sum = 0

    def add(self, line: bytes) -> None:
        """Add a line of :meth:`Due.as_line`."""
        self.documents += 1
        self.points += len(json.loads(line)["points"])
        self._sum += int.from_bytes(hashlib.sha256(line).digest(), "big")

    @property
    def total(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._sum % _MODULUS:064x}"


class Metadata:
    """The metadata store as its owner. A context manager; one run at a time holds it to write.

    Raises:
        TargetError: from every method, when the database does not serve or hides rows.
    """

    def __init__(self, dsn: str) -> None:
        try:
            self.connection = psycopg.connect(
                dsn,
                autocommit=True,
                connect_timeout=CONNECT_S,
                row_factory=dict_row,
                application_name="retention-worker",
                options=f"-c TimeZone=UTC -c lock_timeout={LOCK_S}s -c jit=off "
                "-c client_min_messages=warning",
            )
        except psycopg.Error as error:
            raise refused(error) from error
        with self.guard():
            # Whom row-level security binds, sees nothing and would call an old store clean.
            seen = self.connection.execute(
                "SELECT row_security_active('public.documents') AS bound"
            ).fetchone()
        if seen is None or seen["bound"]:
            self.connection.close()
            raise TargetError(
                "Row-level security hides documents from this role.",
                expected="DATABASE_URL of a role that bypasses it",
                actual="a role that is bound by it",
            )

    def __enter__(self) -> Metadata:
        return self

    def __exit__(self, *_about: object) -> None:
        self.connection.close()

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turn the database's errors into ours."""
        try:
            yield
        except psycopg.Error as error:
            raise refused(error) from error

    def now(self) -> datetime:
        """Return the clock of the metadata store."""
        with self.guard():
            row = self.connection.execute("SELECT clock_timestamp() AS now").fetchone()
        assert row is not None
        found: datetime = row["now"]
        return found

    def alone(self) -> None:
        """Keep other prunes away until the connection ends. Raises Busy."""
        with self.guard():
            row = self.connection.execute(
                "SELECT pg_try_advisory_lock(%s) AS got", (_LOCK,)
            ).fetchone()
        if row is None or not row["got"]:
            raise Busy(
                "Another prune of this metadata store is under way.",
                expected="one at a time",
                next_step="run this again when it has ended",
            )

    def count(self, policy: Policy) -> tuple[int, int]:
        """Return how many documents are due, and how many there are, of every tier and tenant."""
        with self.guard():
            row = self.connection.execute(
                f"SELECT (SELECT count(*) {_FROM} {_WHERE}) AS due,"
                " (SELECT count(*) FROM public.documents) AS documents",
                policy.parameters(),
            ).fetchone()
        assert row is not None
        return int(row["due"]), int(row["documents"])

    def strangers(self, policy: Policy) -> list[str]:
        """Return the tenants that the policy names and that have no document."""
        named = sorted({*policy.tenants, *policy.only})
        with self.guard():
            rows = self.connection.execute(
                "SELECT name FROM unnest(%s::text[]) AS named (name) WHERE NOT EXISTS"
                " (SELECT FROM public.documents AS d WHERE d.tenant_id = name) ORDER BY 1",
                (named,),
            ).fetchall()
        return [str(row["name"]) for row in rows]

    def undated(self, policy: Policy, now: datetime, most: int) -> list[dict[str, Any]]:
        """Return hot documents without a usable date, at most so many."""
        with self.guard():
            return self.connection.execute(
                UNDATED, {**policy.parameters(), "now": now, "most": most}
            ).fetchall()

    def listed(self, policy: Policy) -> Iterator[Due]:
        """Yield what is due, by tenant and document, as of one moment; changes nothing."""
        with self.guard(), self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            with self.connection.cursor(name="due") as cursor:
                cursor.itersize = 500
                cursor.execute(LISTED, policy.parameters())
                for row in cursor:
                    yield Due.of(row, row["points"])


def refused(error: psycopg.Error) -> TargetError:
    """Say what the database said."""
    lines = str(error).strip().splitlines()
    return TargetError(
        "The metadata store does not do what the prune asks.",
        expected="DATABASE_URL with the owner's rights on the gateway's tables",
        actual=lines[0] if lines else type(error).__name__,
        next_step=error.diag.message_hint or "check DATABASE_URL, and run it again",
    )
