"""`http_status`: answers some requests with a status of its own (extension, HTTP only)."""

from __future__ import annotations

import http
import json
from dataclasses import dataclass

from refstack.faultproxy.http.bodies import written
from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register


@dataclass(frozen=True)
class Settings:
    """Status to answer with, seconds for `Retry-After` (0 sends none), share of responses."""

    status: int = 500
    retry_after: int = 0
    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if not 400 <= self.status <= 599:
            raise ValueError(f"status must be from 400 to 599, got {self.status}")
        if not 0 <= self.retry_after <= 86_400:
            raise ValueError(
                f"retry_after must be from 0 to 86400 (in seconds), got {self.retry_after}"
            )


@register("http_status", Settings)
class HttpStatus(HttpStage):
    """The server has done its work; its response is dropped, as a broken gateway would."""

    def instead(self, exchange: Exchange) -> bytes | None:
        """A problem document (RFC 9457) of that status."""
        settings = self.toxic.settings
        try:
            title = http.HTTPStatus(settings.status).phrase
        except ValueError:
            title = "Error"
        problem = {"type": "about:blank", "title": title, "status": settings.status}
        fields = [(b"content-type", b"application/problem+json")]
        if settings.retry_after:
            fields.append((b"retry-after", str(settings.retry_after).encode()))
        first_line = f"HTTP/1.1 {settings.status} {title}".encode()
        return written(exchange, first_line, fields, json.dumps(problem).encode())
