"""Private keys that a plain-text log holds one line at a time, as a stack trace puts them."""

from __future__ import annotations

import re

_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
_BODY = re.compile(r"\s*(?:[A-Za-z0-9+/]{1,76}={0,2}|(?:Proc-Type|DEK-Info): .*|)\s*")
MOST_LINES = 200
"""Longer is no key: one of 16,384 bits has about 170 lines."""


class KeyLines:
    """Remembers, for one log, whether the next line may be the middle of a private key."""

    def __init__(self) -> None:
        self._left = 0

    def holds(self, line: str) -> bool:
        """Whether this line, the next of the log, is part of a key that began in one before it."""
        if _BEGIN.search(line):
            self._left = 0 if _END.search(line) else MOST_LINES
            return False
        if not self._left:
            return False
        if _END.search(line):
            self._left = 0
            return True
        self._left = self._left - 1 if _BODY.fullmatch(line) else 0
        return self._left > 0
