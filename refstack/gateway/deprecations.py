"""What of API version 1 is deprecated: since when, until when, and what stands in its place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTICE = timedelta(days=30)
"""How long ahead of its end a deprecation is told at least (operations guide, section 12)."""


@dataclass(frozen=True)
class Deprecation:
    """A route of ``method`` that goes away on ``sunset``, told on ``since``.

    ``successor`` is the path template that answers the same; it has the same parameters. Raises
    ValueError where less than `NOTICE` lies between the two days.
    """

    method: str
    path: str
    since: date
    sunset: date
    successor: str

    def __post_init__(self) -> None:
        if self.sunset - self.since < NOTICE:
            raise ValueError(
                f"{self.method} {self.path} may go {NOTICE.days} days after {self.since} at the "
                f"earliest, and its sunset is {self.sunset}"
            )

    def headers(self, parameters: dict[str, str]) -> dict[str, str]:
        """What every answer carries: `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link`."""
        values = {name: quote(str(value), safe="") for name, value in parameters.items()}
        return {
            "Deprecation": f"@{int(_midnight(self.since).timestamp())}",
            "Sunset": format_datetime(_midnight(self.sunset), usegmt=True),
            "Link": f'<{self.successor.format(**values)}>; rel="successor-version"',
        }

    def described(self, operation: dict[str, Any]) -> dict[str, Any]:
        """An operation of the description, marked as deprecated, with the headers of its answers.

        `x-deprecated-since` and `x-sunset` are days in ISO 8601, `x-successor` a path template.
        """
        headers = {
            name: {"description": told, "required": True, "schema": {"type": "string"}}
            for name, told in _HEADERS.items()
        }
        responses = {
            status: {**answer, "headers": {**answer.get("headers", {}), **headers}}
            for status, answer in operation["responses"].items()
            # Of a failure that nobody foresaw no header can be promised.
            if status != "500"
        }
        return {
            **operation,
            "deprecated": True,
            "x-deprecated-since": self.since.isoformat(),
            "x-sunset": self.sunset.isoformat(),
            "x-successor": self.successor,
            "responses": {**operation["responses"], **responses},
        }


_HEADERS = {
    "Deprecation": "Since when this is deprecated: `@` and seconds since 1970 (RFC 9745).",
    "Sunset": "From when on it may be gone, as an HTTP date (RFC 8594).",
    "Link": 'What to use instead, with `rel="successor-version"`.',
}

DOCUMENT_IN_THE_SINGULAR = Deprecation(
    "GET",
    "/v1/document/{document_id}",
    since=date(2026, 11, 23),
    sunset=date(2027, 5, 31),
    successor="/v1/documents/{document_id}",
)
"""An older spelling: every other route of documents has the plural."""


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


class Notice:
    """Around a deprecated route: puts the deprecation's headers on every answer, errors too."""

    def __init__(self, app: ASGIApp, deprecation: Deprecation) -> None:
        self._app = app
        self._deprecation = deprecation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self._deprecation.headers(scope["path_params"])

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, send_marked)
