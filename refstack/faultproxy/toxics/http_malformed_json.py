"""`http_malformed_json`: breaks off JSON bodies (extension, HTTP only)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from refstack.faultproxy.http.bodies import is_json, unpacked, with_body
from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register


@dataclass(frozen=True)
class Settings:
    """Share of the JSON responses that are hit."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)


@register("http_malformed_json", Settings)
class HttpMalformedJson(HttpStage):
    """Half of the body, under a length that fits it: HTTP is whole, the JSON is not."""

    def concerns(self, exchange: Exchange) -> bool:
        """JSON only."""
        return is_json(exchange.head)

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """The first half."""
        plain = unpacked(exchange.head, body)
        if not plain:
            return None
        half = plain[: (len(plain) + 1) // 2]
        try:
            json.loads(half)
        except ValueError:
            return with_body(exchange, half)
        # Half of a number, for instance, is a number.
        return with_body(exchange, half + b"}")
