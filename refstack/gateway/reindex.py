"""Make one model's collection agree with the documents: after a recovery, or for a new model.

`python -m refstack.gateway.reindex` embeds every chunk that PostgreSQL holds, writes its point,
and removes the points that stand for no chunk. Gateways may go on serving and writing meanwhile.
With `--missing` it embeds only what has no point yet, so that one which was interrupted goes on
where it was. With `--check` it changes nothing, says what differs, and ends with status 1 if
anything does.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import psycopg

from refstack.common.problems import Problem
from refstack.common.settings import Environment, SettingError
from refstack.gateway.embedding import TEXTS_PER_CALL, vectors_of
from refstack.gateway.settings import MODEL_DIMENSIONS, collection_of, read_alias
from refstack.gateway.upstream import UpstreamError

POINTS_PER_PAGE = 1_000
TOLD_EVERY_S = 2.0


class ReindexError(Exception):
    """The job cannot be done; the text says why."""


@dataclass(frozen=True)
class Chunk:
    """A chunk as PostgreSQL holds it, with the payload of its point."""

    point_id: UUID
    text: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """Chunks without a point, and points without a chunk."""

    missing: int
    orphans: int


class Documents:
    """The chunks of all tenants. The role must see them all."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        hidden = "SELECT row_security_active('public.chunks'::regclass)"
        row = connection.execute(hidden).fetchone()
        if row is None or row[0]:
            # It would take every chunk that it cannot see for deleted, and remove its point.
            raise ReindexError(
                "the role of REINDEX_DATABASE_URL is bound by row-level security and cannot see "
                "every tenant's chunks: use the owner or another role that bypasses it"
            )

    def pages(self) -> Iterator[list[Chunk]]:
        """All chunks, `TEXTS_PER_CALL` at a time."""
        after = ("", "")
        while True:
            rows = self._connection.execute(
                "SELECT c.tenant_id, c.chunk_id, c.point_id, c.text, c.persona, c.document_id,"
                " d.ingested_at, d.tier, d.metadata FROM public.chunks c"
                " JOIN public.documents d USING (tenant_id, document_id)"
                ' WHERE (c.tenant_id COLLATE "C", c.chunk_id COLLATE "C") > (%s, %s)'
                ' ORDER BY c.tenant_id COLLATE "C", c.chunk_id COLLATE "C" LIMIT %s',
                (*after, TEXTS_PER_CALL),
            ).fetchall()
            if not rows:
                return
            yield [_chunk(row) for row in rows]
            after = (rows[-1][0], rows[-1][1])

    def without_chunk(self, points: Sequence[UUID]) -> list[UUID]:
        """Those of the points that stand for no chunk and that no write is about to commit."""
        rows = self._connection.execute(
            "SELECT id FROM unnest(%s::uuid[]) AS id"
            " WHERE NOT EXISTS (SELECT FROM public.chunks c WHERE c.point_id = id)"
            " AND NOT EXISTS (SELECT FROM rag.vector_cleanup w WHERE id = ANY (w.point_ids))",
            (list(points),),
        )
        return [row[0] for row in rows]


def _chunk(row: tuple[Any, ...]) -> Chunk:
    payload = {
        "tenant_id": row[0],
        "persona": row[4],
        "document_id": row[5],
        "chunk_id": row[1],
        "ingested_at": row[6].isoformat().replace("+00:00", "Z"),
        "tier": row[7],
        "meta": row[8],
    }
    return Chunk(row[2], row[3], payload)


class Service:
    """A JSON service over HTTP; what it refuses is a `ReindexError`."""

    def __init__(self, name: str, url: str, headers: dict[str, str]) -> None:
        self._name = name
        self._client = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON and return the JSON of a 200."""
        try:
            response = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ReindexError(f"{self._name} does not serve: {error}") from None
        if response.status_code != 200:
            raise ReindexError(
                f"{self._name} refused {method} {path} with {response.status_code}: "
                f"{response.text[:200]}"
            )
        return response.json()


class Reindex:
    """The job for one model."""

    def __init__(
        self, documents: Documents, vectors: Service, embed: Service, model: str, collection: str
    ) -> None:
        self._documents = documents
        self._vectors = vectors
        self._embed = embed
        self._model = model
        self._path = f"/collections/{collection}/points"
        there = vectors.call("GET", f"/collections/{collection}/exists")["result"]["exists"]
        if not there:
            raise ReindexError(
                f"the collection {collection} is missing: run refstack.gateway.migrate first"
            )

    def write_all(self, *, missing: bool = False) -> int:
        """Write the point of every chunk, with `missing` of each that has none; returns how many.

        A chunk's text never changes under its id, so a point that is there is the right one.
        """
        there = {point for page in self._pages_of_points() for point in page} if missing else set()
        written, told = 0, time.monotonic()
        for page in self._documents.pages():
            chunks = [chunk for chunk in page if chunk.point_id not in there]
            if not chunks:
                continue
            if time.monotonic() > told + TOLD_EVERY_S:
                told = time.monotonic()
                print(f"{self._model}: {written} points written so far", file=sys.stderr)
            body = {"model": self._model, "input": [chunk.text for chunk in chunks]}
            answer = self._embed.call("POST", "/v1/embeddings", body)
            try:
                vectors = vectors_of(answer, "embed", self._model, len(chunks))
            except Problem as problem:
                raise ReindexError(problem.detail) from None
            except UpstreamError as error:
                raise ReindexError(f"the embedding worker's answer is unusable: {error}") from None
            points = [
                {"id": str(chunk.point_id), "vector": vector, "payload": chunk.payload}
                for chunk, vector in zip(chunks, vectors, strict=True)
            ]
            self._vectors.call("PUT", f"{self._path}?wait=true", {"points": points})
            written += len(points)
        return written

    def _pages_of_points(self) -> Iterator[list[UUID]]:
        offset: Any = None
        while True:
            body = {"limit": POINTS_PER_PAGE, "with_payload": False, "with_vector": False}
            page = self._vectors.call("POST", f"{self._path}/scroll", {**body, "offset": offset})
            points = [UUID(str(point["id"])) for point in page["result"]["points"]]
            if points:
                yield points
            offset = page["result"].get("next_page_offset")
            if offset is None:
                return

    def remove_orphans(self) -> int:
        """Remove the points that stand for no chunk; returns how many."""
        removed = 0
        # A point that was seen here was announced before: it is looked up only afterwards, so a
        # write under way is known as such or is committed by then.
        for points in self._pages_of_points():
            orphans = [str(point) for point in self._documents.without_chunk(points)]
            if orphans:
                body = {"points": orphans}
                self._vectors.call("POST", f"{self._path}/delete?wait=true", body)
                removed += len(orphans)
        return removed

    def difference(self) -> Difference:
        """What differs between both stores, changing nothing.

        A chunk that is written meanwhile may count as one without a point.
        """
        there: set[UUID] = set()
        orphans = 0
        for points in self._pages_of_points():
            there.update(points)
            orphans += len(self._documents.without_chunk(points))
        missing = sum(
            chunk.point_id not in there for page in self._documents.pages() for chunk in page
        )
        return Difference(missing, orphans)


def _job(env: Environment, connection: psycopg.Connection[Any], model: str) -> Reindex:
    api_key = env.secret("REINDEX_VECTORDB_API_KEY", shortest=1)
    bearer = env.secret("REINDEX_EMBED_API_KEY", shortest=1)
    return Reindex(
        Documents(connection),
        Service("the vector store", env.url("REINDEX_VECTORDB_URL"), {"api-key": api_key}),
        Service(
            "the embedding worker",
            env.url("REINDEX_EMBED_URL"),
            {"Authorization": f"Bearer {bearer}"},
        ),
        model,
        collection_of(read_alias(env), model),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 when both stores agree, 1 when not or not to be had, 2 for a bad setting."""
    parser = argparse.ArgumentParser(
        prog="python -m refstack.gateway.reindex", description=(__doc__ or "").splitlines()[0]
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="change nothing, say what differs")
    what.add_argument("--missing", action="store_true", help="embed only what has no point yet")
    arguments = parser.parse_args(argv)
    env = Environment(os.environ)
    try:
        model = env.choice("REINDEX_EMBED_MODEL", tuple(MODEL_DIMENSIONS))
        database_url = env.url("REINDEX_DATABASE_URL", schemes=("postgresql", "postgres"))
        with psycopg.connect(database_url, connect_timeout=5, autocommit=True) as connection:
            connection.execute("SET TimeZone TO 'UTC'")
            job = _job(env, connection, model)
            if not arguments.check:
                print(f"{model}: {job.write_all(missing=arguments.missing)} points written")
                print(f"{model}: {job.remove_orphans()} points removed that stood for no chunk")
                return 0
            difference = job.difference()
            print(
                f"{model}: {difference.missing} chunks without a point, "
                f"{difference.orphans} points without a chunk"
            )
            return int(difference != Difference(0, 0))
    except SettingError as error:
        print(f"refstack.gateway.reindex: {error}", file=sys.stderr)
        return 2
    except ReindexError as error:
        print(f"refstack.gateway.reindex: {error}", file=sys.stderr)
        return 1
    except psycopg.Error as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"refstack.gateway.reindex: the database refused: {reason}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
