"""What the metadata store and the vector store hold: archive, queues, chunks and their points."""

from __future__ import annotations

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


class Database:
    """One connection that can only read and waits for nobody; made anew after an error."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection | None = None

    def row(self, statement: str) -> tuple[float, ...]:
        """Return the statement's only row. Raises psycopg.Error."""
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
            found = self._connection.execute(statement).fetchone()
        except psycopg.Error:
            self.close()
            raise
        assert found is not None
        return tuple(float(value) for value in found)

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

    def _get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()["result"]
        return result

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class Agreement:
    """Committed chunks against points.

    The chunks are counted first: a chunk is committed after its point was written, so that under
    any load there are at least as many points a moment later, unless some were lost.
    """

    name = "agreement"

    def __init__(self, dsn: str, url: str, api_key: str, alias: str) -> None:
        self._database, self._vectordb = Database(dsn), Vectordb(url, api_key)
        self._alias = alias

    def read(self) -> list[Sample]:
        """Raises psycopg.Error and httpx.HTTPError."""
        (chunks,) = self._database.row(_CHUNKS)
        return [
            Sample("rag_metadata_chunks", chunks),
            Sample("rag_vectordb_indexed_chunks", self._vectordb.points(self._alias)),
        ]

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
        self._vectordb.close()
