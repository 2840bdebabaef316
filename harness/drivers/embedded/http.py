"""One HTTP request over a fresh connection, with a deadline; for probes and control calls only.

Not a client library on purpose: a rollout must see what a *new* connection gets, and the boot must
not wait for a big import.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """Status, body and headers (names in lower case)."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Raises ValueError where the body is no JSON."""
        return json.loads(self.body)


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    json_body: Any = None,
    timeout_s: float = 5.0,
) -> Answer:
    """Raises OSError (also for a broken answer) where no answer came in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    sent = {"Connection": "close", **(headers or {})}
    body = None
    if json_body is not None:
        body = json.dumps(json_body).encode()
        sent["Content-Type"] = "application/json"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, body=body, headers=sent)
        response = connection.getresponse()
        return Answer(
            response.status,
            response.read(),
            {name.lower(): value for name, value in response.getheaders()},
        )
    except http.client.HTTPException as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
