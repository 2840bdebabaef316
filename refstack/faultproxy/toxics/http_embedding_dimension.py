"""`http_embedding_dimension`: vectors of another length (extension, HTTP only)."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.http.bodies import as_json, is_json, parsed
from refstack.faultproxy.http.embeddings import each_vector
from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register


@dataclass(frozen=True)
class Settings:
    """Dimensions added (zeros) or, when negative, taken away; share of responses."""

    change: int = -1
    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if not 1 <= abs(self.change) <= 4096:
            raise ValueError(f"change must be -4096 to -1 or 1 to 4096, got {self.change}")


@register("http_embedding_dimension", Settings)
class HttpEmbeddingDimension(HttpStage):
    """Every vector of an embeddings response, in whichever encoding it has."""

    def concerns(self, exchange: Exchange) -> bool:
        """Successful JSON only."""
        return exchange.status == 200 and is_json(exchange.head)

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """The same answer with longer or shorter vectors."""
        answer = parsed(exchange.head, body)
        change = self.toxic.settings.change

        def resize(vector: list[float]) -> list[float]:
            return vector + [0.0] * change if change > 0 else vector[: max(len(vector) + change, 0)]

        return as_json(exchange, answer) if each_vector(answer, resize) else None
