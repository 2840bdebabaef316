"""Makes lines structured that are not: those of PostgreSQL, the object store and Prometheus."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import orjson

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# As PostgreSQL, logfmt, nginx and glog say it; the first that a line says counts.
_LEVEL = re.compile(
    r"(?:^|\s)(?P<postgres>DEBUG\d?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC):\s"
    r"|\blevel=\"?(?P<logfmt>\w+)"
    r"|\[(?P<nginx>debug|info|notice|warn|error|crit|alert|emerg)\]"
    r"|^(?P<glog>[IWEF])\d{4} "
    r"|(?:^|\s)(?P<word>DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL)\s"
)
_WORDS = {
    "log": "info",
    "notice": "info",
    "warn": "warning",
    "fatal": "critical",
    "panic": "critical",
    "crit": "critical",
    "alert": "critical",
    "emerg": "critical",
    "i": "info",
    "w": "warning",
    "e": "error",
    "f": "critical",
}


def packed(text: str, at: int, service: str) -> str:
    """Return a line as one JSON object with `ts level event service`; one that is stays as it is.

    `at` is when it was written, in nanoseconds since 1970. The words stay whole in `event`.
    """
    if text.startswith("{"):
        try:
            if isinstance(orjson.loads(text), dict):
                return text
        except ValueError:
            pass
    moment = _EPOCH + timedelta(microseconds=at // 1000)
    said = {
        "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _level(text),
        "event": text,
        "service": service,
    }
    return orjson.dumps(said).decode()


def _level(text: str) -> str:
    match = _LEVEL.search(text[:400])
    if match is None:
        return "info"
    word = next(value for value in match.groups() if value).lower().rstrip("0123456789")
    return _WORDS.get(word, word)
