"""`http_embedding_space`: vectors of another model than was asked for (extension, HTTP only)."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.http.bodies import as_json, is_json, parsed
from refstack.faultproxy.http.embeddings import each_vector
from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register

MODEL = "another-model"
"""The name that the answers give."""


@dataclass(frozen=True)
class Settings:
    """Share of the embeddings responses that are hit."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)


@register("http_embedding_space", Settings)
class HttpEmbeddingSpace(HttpStage):
    """Same length, same lengths of the vectors, and a space that has nothing to do with the
    real one: the numbers of each vector stand in reverse. The answer names the other model, as a
    provider's does."""

    def concerns(self, exchange: Exchange) -> bool:
        """Successful JSON only."""
        return exchange.status == 200 and is_json(exchange.head)

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """The same answer out of another space."""
        answer = parsed(exchange.head, body)
        if not each_vector(answer, lambda vector: vector[::-1]):
            return None
        if isinstance(answer, dict):
            answer["model"] = MODEL
        return as_json(exchange, answer)
