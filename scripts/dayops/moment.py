"""One moment of a live database: what every table holds, and where in the log that moment lies.

Rows that come and go make any count wrong that is taken a little before or after. So for the
length of a few statements nobody may write: every table is locked against writers, a snapshot is
taken, and the position of the log is read. The locks go at once; the snapshot is read at leisure.
A recovery that stops at that position holds exactly these rows, whatever was written since.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from harness.core.errors import TargetError
from scripts.dayops import postgres, tables
from scripts.dayops.script import Log
from scripts.dayops.tables import Name, Tables

HOLD_S = 0.4
"""The longest that a try may keep writers waiting. PostgreSQL looks for deadlocks after 1 s, and
may then end a writer: by that time we are gone."""
PATIENCE_S = 30.0
"""How long it is tried before whoever is in the way is looked for."""
_LONG_S = 5.0
"""A transaction that is older is in the way for good; a younger one is only one of many."""
_NOT_NOW = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UndefinedTable,
)


@dataclass(frozen=True)
class Moment:
    """``tables`` is what the tables hold once every record of the log before ``lsn`` is replayed,
    and none after; the log must reach ``needs``. ``moving`` are tables that are there and could not
    be held, ``made_meanwhile`` such as may be there or not; ``held_s`` is what writers waited."""

    lsn: str
    needs: str
    tables: Tables
    moving: list[str]
    made_meanwhile: list[str]
    held_s: float


@contextlib.contextmanager
def log_kept(dsn: str) -> Iterator[None]:
    """Have the server keep its log from now on, until the block ends or this process does."""
    with postgres.connect(dsn) as connection:
        with _telling("can't be made to keep its log"):
            connection.execute(
                "SELECT pg_create_physical_replication_slot("
                "'ragdrill_backup_' || pg_backend_pid(), true, true)"
            )
        yield


def observe(dsn: str, log: Log, patience_s: float = PATIENCE_S) -> Moment:
    """Return a moment of the database, which is later than everything that was done before.

    Raises:
        TargetError: the tables are never free for long enough.
    """
    with (
        postgres.connect(dsn) as holder,
        postgres.connect(dsn) as reader,
        _telling("does not let its tables be read"),
    ):
        aside = _not_ours(holder, log)
        deadline, looked = time.monotonic() + patience_s, False
        while True:
            found = _try(holder, reader, aside)
            if found is not None:
                return found
            if time.monotonic() > deadline:
                blocked = set() if looked else _held_for_long(holder, aside, log)
                if not blocked:
                    raise TargetError(
                        "The tables are written to without a pause, so no count of them is sure.",
                        expected=f"{HOLD_S:g} s in which writers can be kept waiting",
                        actual=f"none in {patience_s:.0f} s",
                        next_step="run it again at a quieter time",
                    )
                aside |= blocked
                deadline, looked = time.monotonic() + patience_s, True
            log.progress("waiting for a moment between two writes")
            # Writers that waited for us go first.
            time.sleep(random.uniform(0.05, 0.3))


def _try(
    holder: psycopg.Connection[Any], reader: psycopg.Connection[Any], aside: set[Name]
) -> Moment | None:
    """Return the moment; None where a table was not free, or one was made or dropped meanwhile."""
    limit = f"{int(HOLD_S * 1000)}ms"
    try:
        with reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            reader.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(limit)))
            with holder.transaction():
                holder.execute(
                    sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(limit))
                )
                wanted = [name for name in tables.names(holder) if name not in aside]
                # Held to the end of the reading: TRUNCATE and DROP spare no snapshot.
                _lock(reader, wanted, "ACCESS SHARE")
                began = time.monotonic()
                _lock(holder, wanted, "SHARE")
                # Whoever wrote to one of these has ended, and is seen; nobody else can have begun.
                # The snapshot is taken with the first statement that needs one: this one.
                then = tables.names(reader)
                lsn = _one(holder, "SELECT pg_current_wal_insert_lsn()::text")
                # A recovery stops before a record, so there must be one; its commit flushes it.
                needs = _one(
                    holder, "SELECT pg_logical_emit_message(true, 'ragdrill', 'backup')::text"
                )
            held_s = time.monotonic() - began
            if not set(wanted) <= set(then):
                return None
            reader.execute("SET LOCAL statement_timeout = 0")
            content = tables.read(reader, wanted)
            now = tables.names(holder)
    except _NOT_NOW:
        return None
    moving = set(then) & aside
    meanwhile = {*then, *now} - {*wanted, *moving}
    return Moment(lsn, needs, content, _named(moving), _named(meanwhile), held_s)


def _lock(connection: psycopg.Connection[Any], wanted: Sequence[Name], mode: str) -> None:
    if wanted:
        connection.execute(
            sql.SQL("LOCK TABLE {} IN {} MODE").format(
                sql.SQL(", ").join(sql.Identifier(*name) for name in wanted), sql.SQL(mode)
            )
        )


def _not_ours(connection: psycopg.Connection[Any], log: Log) -> set[Name]:
    """Return the tables that this role may not lock against writers.

    One that was dropped since it was listed has no privileges (NULL) and is none of them: it may
    be made again before the moment.
    """
    asked = "SELECT has_table_privilege(to_regclass(%s), 'UPDATE, DELETE, TRUNCATE')"
    found = {
        name
        for name in tables.names(connection)
        if _one(connection, asked, [sql.Identifier(*name).as_string(connection)]) is False
    }
    if found:
        _say(log, found, "may not be locked by the role of DATABASE_URL")
    return found


def _held_for_long(connection: psycopg.Connection[Any], aside: set[Name], log: Log) -> set[Name]:
    """Return the tables that long transactions (prepared ones as well) write to."""
    rows = connection.execute(
        "SELECT DISTINCT n.nspname, c.relname FROM pg_locks l"
        " LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
        " JOIN pg_class c ON c.oid = coalesce(pg_partition_root(l.relation), l.relation)"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE l.locktype = 'relation' AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock')"
        " AND (l.pid IS NULL OR a.xact_start < clock_timestamp() - make_interval(secs => %s))",
        [_LONG_S],
    ).fetchall()
    found = {(str(schema), str(table)) for schema, table in rows} & set(tables.names(connection))
    if found - aside:
        _say(log, found - aside, "is held by a transaction that does not end")
    return found - aside


def _say(log: Log, found: set[Name], why: str) -> None:
    for name in _named(found):
        log.warn("not_compared", f"{name} {why}: its rows will not be compared", table=name)


def _one(connection: psycopg.Connection[Any], query: str, given: Sequence[Any] = ()) -> Any:
    row = connection.execute(query.encode(), given).fetchone()
    assert row is not None
    return row[0]


def _named(found: set[Name]) -> list[str]:
    return sorted(".".join(name) for name in found)


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """Turn an error of the database into one that says what to do."""
    try:
        yield
    except psycopg.Error as error:
        raise TargetError(
            f"The metadata store {what}.",
            expected="a role with the rights to replicate, and to read and lock every table",
            actual=f"{type(error).__name__}: {error}".strip().splitlines()[0],
            next_step="check the role of DATABASE_URL and the server's log, and run this again",
        ) from error
