"""Sends lines to the log store over one kept connection."""

from __future__ import annotations

import gzip
import http.client
from urllib.parse import urlsplit

import orjson

Stream = tuple[tuple[tuple[str, str], ...], list[tuple[int, str]]]
"""Labels, and lines with their times in nanoseconds."""

_TIMEOUT_S = 5.0
_PACK_FROM = 8192


class Unavailable(Exception):
    """The lines were not taken and must be sent again; the text says why."""


class Rejected(Exception):
    """The store will never take these lines; the text says why."""


class Client:
    """Pushes to `url` as JSON, which Loki takes too. Not safe to use from several threads."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._make = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port = parts.hostname or "", parts.port
        self._path = f"{parts.path}/loki/api/v1/push"
        self._connection: http.client.HTTPConnection | None = None

    def push(self, tenant: str, streams: list[Stream]) -> None:
        """Return once the store has the lines.

        Raises Unavailable (connection, time-out, 429, 5xx) or Rejected (any other refusal).
        """
        body = orjson.dumps(
            {
                "streams": [
                    {"stream": dict(labels), "values": [[str(at), line] for at, line in lines]}
                    for labels, lines in streams
                ]
            }
        )
        headers = {"Content-Type": "application/json", "X-Scope-OrgID": tenant}
        if len(body) > _PACK_FROM:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        status, text = self._post(body, headers)
        if status == 429 or status >= 500:
            raise Unavailable(f"status {status}: {text}")
        if status >= 300:
            raise Rejected(f"status {status}: {text}")

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        connection = self._connection or self._make(self._host, self._port, timeout=_TIMEOUT_S)
        self._connection = connection
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(2000).decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Unavailable(str(reason)) from None

    def close(self) -> None:
        """Close the connection; the next push opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
