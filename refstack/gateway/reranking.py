"""A second, closer look at the candidates of a search."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from refstack.gateway.deadline import Deadline
from refstack.gateway.upstream import Upstream, UpstreamError

TIMEOUT_S = 2.0


class Reranker:
    """Scores texts against a query in batches (`GATEWAY_RERANK_BATCH`), all sent at once."""

    def __init__(self, upstream: Upstream, batch: int) -> None:
        self.upstream = upstream
        self._batch = batch

    async def scores(self, query: str, texts: Sequence[str], deadline: Deadline) -> list[float]:
        """One score for each text, higher is better. Raises `UpstreamError`."""
        starts = range(0, len(texts), self._batch)
        parts = await asyncio.gather(
            *(self._part(query, texts[at : at + self._batch], deadline) for at in starts)
        )
        return [score for part in parts for score in part]

    async def _part(self, query: str, texts: Sequence[str], deadline: Deadline) -> list[float]:
        body = {"query": query, "texts": texts}
        status, answer = await self.upstream.call(
            "POST", "/rerank", body, deadline=deadline, timeout_s=TIMEOUT_S
        )
        if status != 200:
            raise UpstreamError(self.upstream.name, "status", status=status)
        return scores_of(answer, self.upstream.name, len(texts))


def scores_of(answer: Any, upstream: str, count: int) -> list[float]:
    """The scores of a rerank answer in the order of the texts.

    Raises `UpstreamError` unless each of the `count` texts has exactly one finite score.
    """
    scores: dict[int, float] = {}
    for entry in answer if isinstance(answer, list) else []:
        fields = entry if isinstance(entry, dict) else {}
        index, score = fields.get("index"), fields.get("score")
        if isinstance(index, int) and isinstance(score, int | float) and math.isfinite(score):
            scores[index] = float(score)
    if set(scores) != set(range(count)) or len(answer) != count:
        raise UpstreamError(upstream, "malformed")
    return [scores[index] for index in range(count)]
