"""`http_rerank_missing`: rankings that leave texts out (extension, HTTP only)."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.http.bodies import as_json, is_json, parsed
from refstack.faultproxy.http.rankings import ranking_of
from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register


@dataclass(frozen=True)
class Settings:
    """How many scores are missing, at most all; share of responses."""

    missing: int = 1
    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if not 1 <= self.missing <= 1000:
            raise ValueError(f"missing must be from 1 to 1000 (scores), got {self.missing}")


@register("http_rerank_missing", Settings)
class HttpRerankMissing(HttpStage):
    """Scores at random places are left out."""

    def concerns(self, exchange: Exchange) -> bool:
        """Successful JSON only."""
        return exchange.status == 200 and is_json(exchange.head)

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """The same ranking, shorter."""
        answer = parsed(exchange.head, body)
        ranking = ranking_of(answer)
        if not ranking:
            return None
        for _ in range(min(self.toxic.settings.missing, len(ranking))):
            del ranking[self.rng.randrange(len(ranking))]
        return as_json(exchange, answer)
