"""The read path: from a question to the best chunks that the asker may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from refstack.common.logs import get_logger
from refstack.gateway.deadline import Deadline
from refstack.gateway.embedding import QUERY_TIMEOUT_S, Embedder
from refstack.gateway.metadata import MetadataStore, Statement
from refstack.gateway.models import QueryRequest, QueryResult
from refstack.gateway.reranking import Reranker
from refstack.gateway.spaces import Space, Spaces
from refstack.gateway.tokens import Identity
from refstack.gateway.upstream import UpstreamError
from refstack.gateway.vectors import Hit, VectorStore

RERANK_CANDIDATES = 20
MOST_HITS = 400


@dataclass(frozen=True)
class Found:
    """The answer to a query, `canary` when it came from the canary's space."""

    results: list[QueryResult]
    model: str
    degraded: list[str]
    canary: bool


class Retrieval:
    """Embeds, searches, reads the texts under the asker's claims, and reranks."""

    def __init__(
        self,
        embedder: Embedder,
        spaces: Spaces,
        vectors: VectorStore,
        metadata: MetadataStore,
        reranker: Reranker,
    ) -> None:
        self._embedder = embedder
        self._spaces = spaces
        self._vectors = vectors
        self._metadata = metadata
        self._reranker = reranker

    async def answer(
        self, identity: Identity, request: QueryRequest, deadline: Deadline, *, ask_canary: bool
    ) -> Found:
        """Answer a question.

        Raises `UpstreamError` or `Problem` 503 when it cannot be answered from the space of the
        model that embedded it. A reranker that fails costs the better order only.
        """
        space, canary = await self._spaces.for_query(deadline, asked=ask_canary)
        embedded = await self._embedder.embed(
            [request.query], space.model, deadline=deadline, timeout_s=QUERY_TIMEOUT_S
        )
        degraded = ["embed_fallback"] if embedded.by_fallback else []
        wanted = max(request.top_k, RERANK_CANDIDATES) if request.rerank else request.top_k
        found = await self._candidates(
            identity, request, space, embedded.vectors[0], wanted, deadline
        )
        if request.rerank and found:
            try:
                found = await self._reranked(request.query, found, deadline)
            except UpstreamError as error:
                get_logger().warning("answered_without_rerank", reason=str(error))
                degraded.append("rerank_unavailable")
        return Found(found[: request.top_k], space.model, degraded, canary)

    async def _candidates(
        self,
        identity: Identity,
        request: QueryRequest,
        space: Space,
        vector: Sequence[float],
        wanted: int,
        deadline: Deadline,
    ) -> list[QueryResult]:
        limit = wanted
        while True:
            hits = await self._vectors.search(
                space.collection,
                vector,
                tenant_id=identity.tenant_id,
                persona=request.persona,
                wanted=request.filter or {},
                limit=limit,
                deadline=deadline,
            )
            found = await self._texts(identity, request, hits, deadline) if hits else []
            # Points of unfinished or replaced writes take up places without answering.
            if len(found) >= wanted or len(hits) < limit or limit >= MOST_HITS:
                return found[:wanted]
            limit = min(limit * 4, MOST_HITS)

    async def _texts(
        self, identity: Identity, request: QueryRequest, hits: Sequence[Hit], deadline: Deadline
    ) -> list[QueryResult]:
        # The conditions that row-level security and the search have applied already are applied
        # once more: a hole in one of them must not become an answer.
        rows = await self._metadata.as_identity(
            identity,
            [
                Statement(
                    "SELECT c.chunk_id, c.document_id, c.text, d.metadata FROM public.chunks c"
                    " JOIN public.documents d USING (tenant_id, document_id)"
                    " WHERE c.tenant_id = %s AND c.persona = %s AND d.persona = %s"
                    " AND c.chunk_id = ANY (%s::text[]) AND d.metadata @> %s",
                    (
                        identity.tenant_id,
                        request.persona,
                        request.persona,
                        [hit.chunk_id for hit in hits],
                        Jsonb(request.filter or {}),
                    ),
                )
            ],
            deadline,
        )
        by_id: dict[str, tuple[str, str, dict[str, Any]]] = {
            row[0]: (row[1], row[2], row[3]) for row in rows[0]
        }
        return [
            QueryResult(
                chunk_id=hit.chunk_id,
                document_id=by_id[hit.chunk_id][0],
                text=by_id[hit.chunk_id][1],
                score=hit.score,
                metadata=by_id[hit.chunk_id][2],
            )
            for hit in hits
            if hit.chunk_id in by_id
        ]

    async def _reranked(
        self, query: str, found: Sequence[QueryResult], deadline: Deadline
    ) -> list[QueryResult]:
        scores = await self._reranker.scores(query, [each.text for each in found], deadline)
        scored = [
            each.model_copy(update={"score": score})
            for each, score in zip(found, scores, strict=True)
        ]
        return sorted(scored, key=lambda each: each.score, reverse=True)
