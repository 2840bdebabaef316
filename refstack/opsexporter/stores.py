"""What the metadata store and the vector store hold: archive, queues, chunks and their points."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx
import psycopg

from refstack.opsexporter.families import Sample

TIMEOUT_S = 5.0
_ARCHIVER = """
SELECT archived_count, failed_count,
       coalesce(extract(epoch FROM last_archived_time), 0)::float8,
       coalesce(extract(epoch FROM last_failed_time), 0)::float8
FROM pg_stat_archiver
"""
_DUE = "SELECT count(*) FROM rag.vector_cleanup WHERE not_before <= now()"
_CHUNKS = "SELECT count(*) FROM public.chunks"
_PAGE = """
SELECT tenant_id, chunk_id, point_id::text FROM public.chunks
WHERE (tenant_id, chunk_id) > (%s, %s) ORDER BY tenant_id, chunk_id LIMIT %s
"""
_STILL = """
SELECT count(*) FROM public.chunks
JOIN unnest(%s::text[], %s::text[]) AS gone (tenant_id, chunk_id) USING (tenant_id, chunk_id)
"""

PAGE = 500
"""Chunks that are looked up in the vector store by one request."""

SHARE = 0.05
"""Of the interval: how long the walk over all chunks may go on at a time."""


class Database:
    """One connection that can only read and waits for nobody; made anew after an error."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection | None = None

    def row(self, statement: str, parameters: Sequence[Any] = ()) -> tuple[float, ...]:
        """Return the statement's only row, of numbers. Raises psycopg.Error."""
        (found,) = self.rows(statement, parameters)
        return tuple(float(value) for value in found)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows. Raises psycopg.Error."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=3,
                    application_name="rag-opsexporter",
                    options="-c default_transaction_read_only=on -c statement_timeout=5s "
                    "-c lock_timeout=1s",
                )
            return self._connection.execute(statement, parameters or None).fetchall()
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Metadata:
    """The write-ahead log's archive, and the queue of points that are to be removed."""

    name = "metadata"

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn)

    def read(self) -> list[Sample]:
        """Raises psycopg.Error."""
        archived, failed, success, failure = self._database.row(_ARCHIVER)
        (due,) = self._database.row(_DUE)
        return [
            Sample("rag_metadata_wal_archived_total", archived),
            Sample("rag_metadata_wal_archive_failures_total", failed),
            Sample("rag_metadata_wal_archive_last_success_timestamp_seconds", success),
            Sample("rag_metadata_wal_archive_last_failure_timestamp_seconds", failure),
            Sample("rag_ops_queue_length", due, ("vector-cleanup",)),
        ]

    def close(self) -> None:
        """Close the connection."""
        self._database.close()


class Vectordb:
    """The points of each collection, through Qdrant's REST API."""

    name = "vectordb"

    def __init__(self, url: str, api_key: str) -> None:
        self.client = httpx.Client(
            base_url=url, headers={"api-key": api_key}, timeout=TIMEOUT_S, trust_env=False
        )

    def read(self) -> list[Sample]:
        """Raises httpx.HTTPError, and KeyError for what is no Qdrant."""
        names = [each["name"] for each in self._get("/collections")["collections"]]
        return [
            Sample(
                "rag_vectordb_points", self._get(f"/collections/{name}")["points_count"], (name,)
            )
            for name in names
        ]

    def points(self, collection: str) -> int:
        """Return the exact number of points of a collection or alias; 0 if there is none."""
        answer = self.client.post(f"/collections/{collection}/points/count", json={"exact": True})
        if answer.status_code == 404:
            return 0
        answer.raise_for_status()
        return int(answer.json()["result"]["count"])

    def there(self, collection: str, points: Sequence[str]) -> set[str]:
        """Return which of these points a collection or alias holds; none if there is none."""
        body = {"ids": list(points), "with_payload": False, "with_vector": False}
        answer = self.client.post(f"/collections/{collection}/points", json=body)
        if answer.status_code == 404:
            return set()
        answer.raise_for_status()
        return {str(point["id"]) for point in answer.json()["result"]}

    def _get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()["result"]
        return result

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class Agreement:
    """Committed chunks against points: by number each time, and one by one in a walk over all.

    The chunks are counted first: a chunk is committed after its point was written, so that under
    any load there are at least as many points a moment later, unless some were lost. Points that
    no chunk owns may hide in the numbers what was lost; the walk sees it, however many there are.
    It goes on where it stopped, as far as ``SHARE`` of each interval lets it.
    """

    name = "agreement"

    def __init__(
        self, dsn: str, url: str, api_key: str, alias: str, interval_s: float = 30.0
    ) -> None:
        self._database, self._vectordb = Database(dsn), Vectordb(url, api_key)
        self._alias = alias
        self._at_most = SHARE * interval_s
        self._after = ("", "")
        self._found = 0
        self._last_walk = 0

    def read(self) -> list[Sample]:
        """Raises psycopg.Error and httpx.HTTPError."""
        (chunks,) = self._database.row(_CHUNKS)
        points = self._vectordb.points(self._alias)
        stop = time.monotonic() + self._at_most
        # One page at least, or a busy machine would never get round.
        while not self._walk_on() and time.monotonic() < stop:
            pass
        lost = max(chunks - points, self._last_walk, self._found)
        return [
            Sample("rag_metadata_chunks", chunks),
            Sample("rag_vectordb_indexed_chunks", points),
            Sample("rag_vectordb_lost_chunks", lost),
        ]

    def _walk_on(self) -> bool:
        """Look at the next page of chunks; whether it was the last of a walk."""
        page = self._database.rows(_PAGE, (*self._after, PAGE))
        there = self._vectordb.there(self._alias, [row[2] for row in page]) if page else set()
        missing = [row for row in page if row[2] not in there]
        if missing:
            # What is deleted loses its row before its point: a row that is still there lost it.
            keys = [[row[0] for row in missing], [row[1] for row in missing]]
            self._found += int(self._database.row(_STILL, keys)[0])
        if len(page) == PAGE:
            self._after = (page[-1][0], page[-1][1])
            return False
        self._after, self._last_walk, self._found = ("", ""), self._found, 0
        return True

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
        self._vectordb.close()
