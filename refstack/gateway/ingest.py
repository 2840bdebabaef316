"""Writing and deleting documents in two stores so that a crash at any moment does no harm.

A row in PostgreSQL is the truth: a chunk answers if and only if its row is there. A write

1. embeds (nothing is written yet, so a failure costs nothing),
2. announces its points in `rag.vector_cleanup`, to be removed unless the write comes through,
3. writes the points and waits until the vector store has them for good; they do not answer yet,
4. in one transaction takes the announcement away, replaces the rows and lists the points of what
   was replaced for removal: from here on the write answers, and it is acknowledged,
5. removes the replaced points.

A crash before 4 leaves points that never answer and are listed; one after 4 leaves replaced
points that no longer answer and are listed. `cleanup.Cleaner` removes what is listed.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.types.json import Jsonb

from refstack.common.logs import get_logger
from refstack.common.problems import Problem
from refstack.gateway.chunking import chunk_text
from refstack.gateway.cleanup import forget, remove_everywhere
from refstack.gateway.deadline import Deadline
from refstack.gateway.embedding import Embedder
from refstack.gateway.ids import chunk_id, point_id
from refstack.gateway.metadata import MetadataStore, Statement
from refstack.gateway.models import MAX_CHUNKS, DocumentRequest
from refstack.gateway.spaces import Space, Spaces
from refstack.gateway.tokens import Identity
from refstack.gateway.upstream import UpstreamError
from refstack.gateway.vectors import Point, VectorStore


@dataclass(frozen=True)
class Chunk:
    """One chunk on its way into both stores."""

    id: str
    point_id: uuid.UUID
    document_id: str
    persona: str
    position: int
    text: str
    source: DocumentRequest


@dataclass(frozen=True)
class Draft:
    """One document on its way into both stores."""

    document_id: str
    cleanup_id: uuid.UUID
    source: DocumentRequest
    chunks: tuple[Chunk, ...]


def draft(request: DocumentRequest, tenant_id: str, version: uuid.UUID) -> Draft:
    """Cut a document into chunks with ids of this version."""
    document_id = request.document_id or str(uuid.uuid4())
    chunks = []
    for position, text in enumerate(chunk_text(request.text)):
        name = chunk_id(document_id, version, position)
        point = point_id(tenant_id, name)
        chunks.append(Chunk(name, point, document_id, request.persona, position, text, request))
    return Draft(document_id, uuid.uuid4(), request, tuple(chunks))


class Ingest:
    """The write path."""

    def __init__(
        self,
        embedder: Embedder,
        spaces: Spaces,
        vectors: VectorStore,
        metadata: MetadataStore,
        *,
        patience_s: float,
    ) -> None:
        self._embedder = embedder
        self._spaces = spaces
        self._vectors = vectors
        self._metadata = metadata
        self._patience_s = patience_s

    async def write(
        self, identity: Identity, requests: Sequence[DocumentRequest], deadline: Deadline
    ) -> tuple[list[Draft], str]:
        """Write documents, all or none; returns them and the stable model.

        When it returns, every document is durable in both stores. Raises `UpstreamError` or
        `Problem`; then none of them answers, unless it was the very last answer of the database
        that got lost.
        """
        version = uuid.uuid4()
        now = datetime.now(UTC)
        drafts = [draft(request, identity.tenant_id, version) for request in requests]
        chunks = [chunk for each in drafts for chunk in each.chunks]
        if len(chunks) > MAX_CHUNKS:
            raise Problem(
                413, f"One request may hold at most {MAX_CHUNKS} chunks; this has {len(chunks)}."
            )
        stable = await self._spaces.stable(deadline, fresh=True)
        points = [
            (space, await self._points(identity, space, chunks, now, deadline))
            for space in self._spaces.written
        ]
        await self._announce(identity, drafts, deadline)
        for space, vectors in points:
            await self._vectors.upsert(space.collection, vectors, deadline)
        replaced = await self._commit(identity, drafts, version, now, stable.model, deadline)
        if replaced:
            await self._remove_replaced(identity, replaced, deadline)
        return drafts, stable.model

    async def _points(
        self,
        identity: Identity,
        space: Space,
        chunks: Sequence[Chunk],
        now: datetime,
        deadline: Deadline,
    ) -> list[Point]:
        embedded = await self._embedder.embed(
            [chunk.text for chunk in chunks],
            space.model,
            deadline=deadline,
            timeout_s=deadline.remaining(),
        )
        stamp = now.isoformat().replace("+00:00", "Z")
        return [
            Point(
                chunk.point_id,
                vector,
                {
                    "tenant_id": identity.tenant_id,
                    "persona": chunk.persona,
                    "document_id": chunk.document_id,
                    "chunk_id": chunk.id,
                    "ingested_at": stamp,
                    "tier": chunk.source.tier,
                    "meta": chunk.source.metadata,
                },
            )
            for chunk, vector in zip(chunks, embedded.vectors, strict=True)
        ]

    async def _announce(
        self, identity: Identity, drafts: Sequence[Draft], deadline: Deadline
    ) -> None:
        rows = Statement(
            "INSERT INTO rag.vector_cleanup"
            " (cleanup_id, tenant_id, document_id, persona, reason, point_ids, not_before)"
            " SELECT id, %s, document_id, persona, 'write',"
            "  (SELECT array_agg(p::uuid) FROM unnest(string_to_array(points, ',')) AS p),"
            "  now() + make_interval(secs => %s)"
            " FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[])"
            "  AS new (id, document_id, persona, points)"
            " ON CONFLICT (cleanup_id) DO NOTHING",
            (
                identity.tenant_id,
                self._patience_s,
                [each.cleanup_id for each in drafts],
                [each.document_id for each in drafts],
                [each.source.persona for each in drafts],
                [",".join(str(chunk.point_id) for chunk in each.chunks) for each in drafts],
            ),
        )
        await self._metadata.as_identity(identity, [rows], deadline)

    async def _commit(
        self,
        identity: Identity,
        drafts: Sequence[Draft],
        version: uuid.UUID,
        now: datetime,
        model: str,
        deadline: Deadline,
    ) -> list[tuple[uuid.UUID, list[uuid.UUID]]]:
        # In the order of the ids, so that two batches cannot wait for each other.
        ordered = sorted(drafts, key=lambda each: each.document_id)
        chunks = [chunk for each in ordered for chunk in each.chunks]
        ids = [each.document_id for each in ordered]
        new_points = [chunk.point_id for chunk in chunks]
        tenant = identity.tenant_id
        statements = [
            Statement(
                "SELECT rag.claim_write(%s::uuid[], %s::text[], %s)",
                ([each.cleanup_id for each in ordered], ids, version),
            ),
            Statement(
                "INSERT INTO public.documents (tenant_id, document_id, persona, tier, metadata,"
                " body, content_sha256, version, embed_model, ingested_at)"
                " SELECT %s, document_id, persona, tier, metadata, body,"
                "  encode(sha256(convert_to(body, 'UTF8')), 'hex'), %s, %s, %s"
                " FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[], %s::text[])"
                " WITH ORDINALITY AS new (document_id, persona, tier, metadata, body, n)"
                " ORDER BY n"
                " ON CONFLICT (tenant_id, document_id) DO UPDATE SET persona = EXCLUDED.persona,"
                " tier = EXCLUDED.tier, metadata = EXCLUDED.metadata, body = EXCLUDED.body,"
                " content_sha256 = EXCLUDED.content_sha256,"
                " version = EXCLUDED.version, embed_model = EXCLUDED.embed_model,"
                " ingested_at = EXCLUDED.ingested_at",
                (
                    tenant,
                    version,
                    model,
                    now,
                    ids,
                    [each.source.persona for each in ordered],
                    [each.source.tier for each in ordered],
                    [Jsonb(each.source.metadata) for each in ordered],
                    [each.source.text for each in ordered],
                ),
            ),
            Statement(
                "WITH old AS (DELETE FROM public.chunks WHERE tenant_id = %s"
                "  AND document_id = ANY (%s::text[]) AND NOT point_id = ANY (%s::uuid[])"
                "  RETURNING document_id, persona, point_id)"
                " INSERT INTO rag.vector_cleanup"
                " (cleanup_id, tenant_id, document_id, persona, reason, point_ids, not_before)"
                " SELECT gen_random_uuid(), %s, document_id, persona, 'replaced',"
                "  array_agg(point_id), now() FROM old GROUP BY document_id, persona"
                " RETURNING cleanup_id, point_ids",
                (tenant, ids, new_points, tenant),
            ),
            Statement(
                "INSERT INTO public.chunks"
                " (tenant_id, chunk_id, document_id, persona, position, point_id, text)"
                " SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::integer[],"
                "  %s::uuid[], %s::text[])"
                " ON CONFLICT (tenant_id, chunk_id) DO NOTHING",
                (
                    tenant,
                    [chunk.id for chunk in chunks],
                    [chunk.document_id for chunk in chunks],
                    [chunk.persona for chunk in chunks],
                    [chunk.position for chunk in chunks],
                    new_points,
                    [chunk.text for chunk in chunks],
                ),
            ),
        ]
        try:
            results = await self._metadata.as_identity(
                identity, statements, deadline, timeout_s=deadline.remaining()
            )
        except psycopg.errors.InsufficientPrivilege:
            raise Problem(
                409, "A document_id of this request cannot be used with this token."
            ) from None
        except psycopg.DatabaseError as error:
            if error.sqlstate != "RD001":
                raise
            # The clean-up found this write too slow and has begun to remove its points.
            raise UpstreamError("metadata", "timeout") from None
        return [(row[0], row[1]) for row in results[2]]

    async def _remove_replaced(
        self,
        identity: Identity,
        replaced: Sequence[tuple[uuid.UUID, list[uuid.UUID]]],
        deadline: Deadline,
    ) -> None:
        # The write is committed: whatever happens here, it must be acknowledged.
        try:
            await self._remove(identity, replaced, deadline)
        except (UpstreamError, psycopg.Error) as error:
            reason = type(error).__name__
            get_logger().warning("replaced_points_left_to_cleanup", reason=reason)

    async def _remove(
        self,
        identity: Identity,
        listed: Sequence[tuple[uuid.UUID, list[uuid.UUID]]],
        deadline: Deadline,
    ) -> None:
        points = [point for _, group in listed for point in group]
        await remove_everywhere(self._vectors, self._spaces, identity.tenant_id, points, deadline)
        done = [cleanup_id for cleanup_id, _ in listed]
        await self._metadata.as_itself(lambda connection: forget(connection, done), deadline)

    async def delete(self, identity: Identity, document_id: str, deadline: Deadline) -> bool:
        """Delete a document from both stores; False if the identity has no such document.

        A delete that failed after the rows were gone is taken up again: then it is True once
        more, when the points are gone as well. Raises `UpstreamError`.
        """
        tenant = identity.tenant_id
        statements = [
            # Chunks first, so that their points are known; the document's row is locked before,
            # or a replacement under way could slip in between.
            Statement(
                "SELECT FROM public.documents WHERE tenant_id = %s AND document_id = %s FOR UPDATE",
                (tenant, document_id),
            ),
            Statement(
                "WITH old AS (DELETE FROM public.chunks WHERE tenant_id = %s AND document_id = %s"
                "  RETURNING persona, point_id)"
                " INSERT INTO rag.vector_cleanup"
                " (cleanup_id, tenant_id, document_id, persona, reason, point_ids, not_before)"
                " SELECT gen_random_uuid(), %s, %s, persona, 'deleted', array_agg(point_id), now()"
                " FROM old GROUP BY persona",
                (tenant, document_id, tenant, document_id),
            ),
            Statement(
                "DELETE FROM public.documents WHERE tenant_id = %s AND document_id = %s"
                " RETURNING document_id",
                (tenant, document_id),
            ),
            Statement(
                "SELECT cleanup_id, point_ids FROM rag.vector_cleanup"
                " WHERE tenant_id = %s AND document_id = %s AND reason = 'deleted'",
                (tenant, document_id),
            ),
        ]
        results = await self._metadata.as_identity(identity, statements, deadline)
        listed = [(row[0], row[1]) for row in results[3]]
        if listed:
            await self._remove(identity, listed, deadline)
        return bool(listed or results[2])
