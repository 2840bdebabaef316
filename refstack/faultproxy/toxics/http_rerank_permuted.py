"""`http_rerank_permuted`: scores given to the wrong texts (extension, HTTP only)."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.http.bodies import as_json, is_json, parsed
from refstack.faultproxy.http.rankings import ranking_of
from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register


@dataclass(frozen=True)
class Settings:
    """Share of the rerank responses that are hit."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)


@register("http_rerank_permuted", Settings)
class HttpRerankPermuted(HttpStage):
    """Each score goes to the text of the next place: complete, well-formed and wrong."""

    def concerns(self, exchange: Exchange) -> bool:
        """Successful JSON only."""
        return exchange.status == 200 and is_json(exchange.head)

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """The indexes moved round by one; a ranking of one text can't be permuted."""
        answer = parsed(exchange.head, body)
        ranking = ranking_of(answer)
        if ranking is None or len(ranking) < 2:
            return None
        indexes = [entry["index"] for entry in ranking]
        for entry, index in zip(ranking, indexes[1:] + indexes[:1], strict=True):
            entry["index"] = index
        return as_json(exchange, answer)
