"""Keeps secrets out of history, logs and reports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

REDACTED = "[redacted]"

# A JSON Web Token: three base64url parts, the first of which begins with `{"` (eyJ).
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")
_DSN_PASSWORD = re.compile(r"(?<=://)([^\s:/@\"]+):([^\s@/\"]+)@")
_SHORTEST = 6


class Redactor:
    """Replaces known secret values, tokens and passwords inside connection strings."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Learn secret values. Values under six characters are ignored: they match by chance."""
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                self._secrets.add(secret)
                # Inside a line of JSON the value stands in its escaped form.
                self._secrets.add(json.dumps(secret)[1:-1])

    def redact(self, text: str) -> str:
        """Return ``text`` with everything secret replaced by ``[redacted]``."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, REDACTED)
        text = _TOKEN.sub(REDACTED, text)
        return _DSN_PASSWORD.sub(rf"\1:{REDACTED}@", text)
