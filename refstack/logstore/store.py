"""Log lines on disk, by tenant and stream: an SQLite file that survives kill -9."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import orjson

from refstack.logstore.selector import NANOSECONDS, LogQuery

Labels = dict[str, str]
Entry = tuple[int, str]
"""A time in nanoseconds since 1970 and a line."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (tenant, labels));
CREATE TABLE IF NOT EXISTS entries (
    stream INTEGER NOT NULL, at INTEGER NOT NULL, line TEXT NOT NULL,
    PRIMARY KEY (stream, at, line)) WITHOUT ROWID;
"""


class Store:
    """One writer process; safe to use from several threads. Raises sqlite3.Error on a bad disk.

    A line that is there already with the same time in the same stream is kept once, as Loki does:
    whoever sends again after a lost answer makes no doubles.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # A commit survives the end of the process; the power cut of a whole machine may take the
        # last ones, which is more than a stand-in needs.
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("PRAGMA cache_size=-2000")
        self._database.executescript(_SCHEMA)
        self._ids: dict[tuple[str, bytes], int] = {}

    def push(self, tenant: str, streams: Iterable[tuple[Mapping[str, str], list[Entry]]]) -> int:
        """Keep all lines or none; returns how many were new."""
        new = 0
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            made: dict[tuple[str, bytes], int] = {}
            try:
                for labels, entries in streams:
                    key = (tenant, orjson.dumps(labels, option=orjson.OPT_SORT_KEYS))
                    stream = self._ids.get(key) or made.get(key) or self._stream(key)
                    made[key] = stream
                    before = self._database.total_changes
                    self._database.executemany(
                        "INSERT OR IGNORE INTO entries VALUES (?, ?, ?)",
                        ((stream, at, line) for at, line in entries),
                    )
                    new += self._database.total_changes - before
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._ids.update(made)
        return new

    def _stream(self, key: tuple[str, bytes]) -> int:
        row = (key[0], key[1].decode())
        self._database.execute("INSERT OR IGNORE INTO streams (tenant, labels) VALUES (?, ?)", row)
        found = self._database.execute(
            "SELECT id FROM streams WHERE tenant = ? AND labels = ?", row
        ).fetchone()
        return int(found[0])

    def streams(
        self, tenant: str, start: int, end: int, query: LogQuery | None = None
    ) -> dict[int, Labels]:
        """The streams of a tenant with a line in [start, end), all or those that a query picks."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, labels FROM streams WHERE tenant = ? AND EXISTS (SELECT 1 FROM entries"
                " WHERE stream = id AND at >= ? AND at < ?)",
                (tenant, start, end),
            ).fetchall()
        found = {int(number): orjson.loads(labels) for number, labels in rows}
        return {n: labels for n, labels in found.items() if query is None or query.picks(labels)}

    def entries(
        self, stream: int, start: int, end: int, query: LogQuery, *, forward: bool, limit: int
    ) -> list[Entry]:
        """Up to ``limit`` lines of a stream in [start, end) that pass the query's filters."""
        order = "ASC" if forward else "DESC"
        found: list[Entry] = []
        with self._lock:
            rows: Iterator[tuple[int, str]] = self._database.execute(
                f"SELECT at, line FROM entries WHERE stream = ? AND at >= ? AND at < ?"
                f" ORDER BY at {order}, line {order}",
                (stream, start, end),
            )
            for at, line in rows:
                if query.keeps(line):
                    found.append((int(at), line))
                    if len(found) >= limit:
                        break
        return found

    def forget_before(self, at: int) -> None:
        """Delete what is older, and streams that have nothing left."""
        with self._lock:
            self._database.execute("DELETE FROM entries WHERE at < ?", (at,))
            self._database.execute(
                "DELETE FROM streams WHERE NOT EXISTS (SELECT 1 FROM entries WHERE stream = id)"
            )
            self._ids.clear()

    def count(self) -> dict[str, int]:
        """Streams by tenant."""
        with self._lock:
            rows = self._database.execute("SELECT tenant, count(*) FROM streams GROUP BY tenant")
            return {str(tenant): int(number) for tenant, number in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


def hours(number: float) -> int:
    """Hours in nanoseconds."""
    return round(number * 3600) * NANOSECONDS
