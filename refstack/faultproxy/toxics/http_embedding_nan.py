"""`http_embedding_nan`: vectors that hold a NaN (extension, HTTP only)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from refstack.faultproxy.http.bodies import as_json, is_json, parsed
from refstack.faultproxy.http.embeddings import each_vector
from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register


@dataclass(frozen=True)
class Settings:
    """Share of the embeddings responses that are hit."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)


@register("http_embedding_nan", Settings)
class HttpEmbeddingNan(HttpStage):
    """One number of every vector is not a number.

    In the encoding `float` it is the bare word NaN, which Python's `json` writes and reads and
    RFC 8259 does not know; in `base64` it is a float like any other.
    """

    def concerns(self, exchange: Exchange) -> bool:
        """Successful JSON only."""
        return exchange.status == 200 and is_json(exchange.head)

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """The same answer with one number of each vector replaced."""
        answer = parsed(exchange.head, body)

        def spoil(vector: list[float]) -> list[float]:
            if vector:
                vector[self.rng.randrange(len(vector))] = math.nan
            return vector

        return as_json(exchange, answer) if each_vector(answer, spoil) else None
