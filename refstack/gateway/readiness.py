"""Whether a request would be served now, asked of every part that it would need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import psycopg

from refstack.common.problems import Problem
from refstack.gateway.deadline import Deadline, bounded
from refstack.gateway.embedding import Embedder
from refstack.gateway.metadata import MetadataStore, Statement
from refstack.gateway.settings import Settings
from refstack.gateway.spaces import Spaces
from refstack.gateway.tokens import Identity, KeyCache
from refstack.gateway.upstream import Upstream, UpstreamError
from refstack.gateway.vectors import VectorStore

CHECK_S = 1.0
FRESH_S = 0.25
"""Seconds for which a result is kept, so that many askers cost the upstreams no more than one."""

_NOBODY = Identity("readiness", "", ())


class Readiness:
    """Asks all parts at once. The reranker is not needed to answer, so it is not asked."""

    def __init__(
        self,
        keys: KeyCache,
        metadata: MetadataStore,
        vectors: VectorStore,
        spaces: Spaces,
        embedder: Embedder,
        settings: Settings,
    ) -> None:
        self._keys = keys
        self._metadata = metadata
        self._vectors = vectors
        self._spaces = spaces
        self._embedder = embedder
        self._models = settings.models
        self._lock = asyncio.Lock()
        self._known: dict[str, str | None] = {}
        self._known_at = float("-inf")

    async def reasons(self) -> dict[str, str | None]:
        """Per dependency None, or why it would not serve."""
        async with self._lock:
            if time.monotonic() >= self._known_at + FRESH_S:
                parts = {
                    "auth": self._auth(),
                    "metadata": self._metadata_serves(),
                    "vectordb": self._vectordb(),
                    "embed": self._embed(),
                }
                outcomes = await asyncio.gather(*(_outcome(part) for part in parts.values()))
                self._known = dict(zip(parts, outcomes, strict=True))
                self._known_at = time.monotonic()
            return self._known

    async def _auth(self) -> str | None:
        return None if self._keys.known else "no signing keys have been fetched yet"

    async def _metadata_serves(self) -> str | None:
        statement = Statement("SELECT FROM public.documents LIMIT 1")
        await self._metadata.as_identity(_NOBODY, [statement], Deadline(CHECK_S))
        return None

    async def _vectordb(self) -> str | None:
        deadline = Deadline(CHECK_S)
        await self._spaces.stable(deadline, fresh=True)
        for space in self._spaces.written:
            if not await self._vectors.exists(space.collection, deadline):
                return f"the collection {space.collection} is missing"
        return None

    async def _embed(self) -> str | None:
        reasons = [
            await self._provider(upstream)
            for upstream in (self._embedder.local, self._embedder.fallback)
            if upstream is not None
        ]
        return None if None in reasons else "; ".join(filter(None, reasons))

    async def _provider(self, upstream: Upstream) -> str | None:
        try:
            status, answer = await upstream.call(
                "GET", "/v1/models", deadline=Deadline(CHECK_S), timeout_s=CHECK_S, guarded=False
            )
            offered = {entry["id"] for entry in answer["data"]} if status == 200 else set()
        except UpstreamError as error:
            return str(error)
        except (KeyError, TypeError):
            return f"{upstream.name}: malformed"
        missing = [model for model in self._models if model not in offered]
        return f"{upstream.name} does not offer {', '.join(missing)}" if missing else None


async def _outcome(part: Coroutine[Any, Any, str | None]) -> str | None:
    try:
        return await bounded(part, 2 * CHECK_S)
    except TimeoutError:
        return "no answer in time"
    except UpstreamError as error:
        return str(error)
    except Problem as problem:
        return problem.detail
    except psycopg.Error as error:
        return f"refused: {type(error).__name__}"
