"""Logs of one JSON object a line on stdout, from structlog and the standard library alike.

An exception is written as its type and the places it passed through: its text may hold what a
user sent, and document text, query text, tokens and keys never belong in a log.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def places(error: BaseException, deepest: int = 8) -> list[str]:
    """The innermost `deepest` frames of an exception as `file:line function`, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-deepest:]
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames]


def _stamp(service: str) -> Processor:
    def stamp(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name = event.pop("event", "")
        return {"ts": now, "level": method, "event": name, "service": service, **event}

    return stamp


def _without_texts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["error_at"] = places(error)
    return event


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    return orjson.dumps(event, default=lambda value: f"<{type(value).__name__}>")


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        level = record.levelname.lower() if record.levelno in _LEVELS else "info"
        getattr(structlog.get_logger(), level)(record.getMessage(), **fields)


_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def configure(service: str, level: str = "info") -> None:
    """Send every log line of this process to stdout as JSON with `service` in it.

    `level` is `debug`, `info`, `warning` or `error`. Libraries log from `warning` up.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _without_texts,
            _stamp(service),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


def get_logger() -> Any:
    """The logger of this process: `log.info("event_name", field=value)`."""
    return structlog.get_logger()
