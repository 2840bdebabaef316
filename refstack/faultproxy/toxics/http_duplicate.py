"""`http_duplicate`: sends some responses twice (extension, HTTP only)."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register


@dataclass(frozen=True)
class Settings:
    """Share of responses that are hit."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)


@register("http_duplicate", Settings)
class HttpDuplicate(HttpStage):
    """The second copy follows at once on the same connection.

    A client that keeps the connection and does not notice takes it for the answer to its next
    request. A connection that ends with the response is left alone: there it could do no harm.
    """

    def concerns(self, exchange: Exchange) -> bool:
        """Responses after which the connection goes on."""
        return not exchange.connection_closes

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """Twice the same."""
        return wire + wire
