"""Texts to vectors, from the local worker or from the fallback provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refstack.common.logs import get_logger
from refstack.common.problems import Problem
from refstack.gateway.deadline import Deadline
from refstack.gateway.settings import MODEL_DIMENSIONS
from refstack.gateway.upstream import Upstream, UpstreamError

TEXTS_PER_CALL = 256
QUERY_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Embedded:
    """Vectors in the order of the texts, and whether the fallback made them."""

    vectors: list[list[float]]
    by_fallback: bool


class Embedder:
    """Embeds with the local worker; with the fallback where told to or where that fails.

    `local` is None when all embedding goes to the fallback. Both speak OpenAI's embeddings API,
    and both must answer with the very model that was asked for: vectors of another model would
    be compared in a space that is not theirs.
    """

    def __init__(self, local: Upstream | None, fallback: Upstream | None) -> None:
        self.local = local
        self.fallback = fallback

    async def embed(
        self, texts: Sequence[str], model: str, *, deadline: Deadline, timeout_s: float
    ) -> Embedded:
        """Embed texts, at most `TEXTS_PER_CALL` of them in one call of at most `timeout_s`.

        Raises `UpstreamError` when no provider does it, and `Problem` 503 when one answers with
        another model's vectors.
        """
        if self.local is not None:
            try:
                return Embedded(await _all(self.local, texts, model, deadline, timeout_s), False)
            except UpstreamError as error:
                if self.fallback is None:
                    raise
                get_logger().warning("embedding_falls_back", reason=str(error))
        if self.fallback is None:
            raise AssertionError("settings give a local worker or a fallback")
        return Embedded(await _all(self.fallback, texts, model, deadline, timeout_s), True)


async def _all(
    upstream: Upstream, texts: Sequence[str], model: str, deadline: Deadline, timeout_s: float
) -> list[list[float]]:
    vectors: list[list[float]] = []
    for start in range(0, len(texts), TEXTS_PER_CALL):
        part = texts[start : start + TEXTS_PER_CALL]
        body = {"model": model, "input": part, "encoding_format": "float"}
        status, answer = await upstream.call(
            "POST", "/v1/embeddings", body, deadline=deadline, timeout_s=timeout_s
        )
        if status != 200:
            raise UpstreamError(upstream.name, "status", status=status)
        vectors += vectors_of(answer, upstream.name, model, len(part))
    return vectors


def vectors_of(answer: Any, upstream: str, model: str, count: int) -> list[list[float]]:
    """The vectors of an embeddings answer, in order.

    Raises `Problem` 503 if they are another model's, `UpstreamError` if they are not `count`
    vectors of the model's dimension.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        raise UpstreamError(upstream, "malformed")
    if answer.get("model") != model:
        get_logger().error("embedding_space_mismatch", upstream=upstream, wanted=model)
        raise Problem(
            503,
            f"The embedding provider did not answer with the model {model}; vectors of two "
            "models cannot be compared.",
            kind="embedding-space-mismatch",
            headers={"Retry-After": "5"},
        )
    vectors: list[Any] = [None] * count
    for entry in answer["data"]:
        fields = entry if isinstance(entry, dict) else {}
        index, vector = fields.get("index"), fields.get("embedding")
        if not isinstance(index, int) or not 0 <= index < count or not isinstance(vector, list):
            raise UpstreamError(upstream, "malformed")
        vectors[index] = vector
    size = MODEL_DIMENSIONS[model]
    if any(vector is None or len(vector) != size for vector in vectors):
        raise UpstreamError(upstream, "malformed")
    return vectors
