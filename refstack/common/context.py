"""The outermost layer of a service: request ids, one log line and one measurement a request."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Set
from contextvars import ContextVar

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refstack.common.lifecycle import lifecycle
from refstack.common.logs import get_logger

Observer = Callable[[str, str, int, float], None]
"""Called after each request with route template, method, status and seconds."""

REQUEST_ID_HEADER = "X-Request-Id"
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
_current: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of the request being served, to be passed on to every upstream; empty outside."""
    return _current.get()


def sane_or_new(offered: str | None) -> str:
    """The offered request id if it is 8 to 64 of `A-Za-z0-9._:-`, else a new one."""
    if offered is not None and _SANE_ID.fullmatch(offered):
        return offered
    return uuid.uuid4().hex


def route_of(scope: Scope) -> str:
    """The template of the route that answered, `unmatched` if none did (bounded for labels)."""
    return getattr(scope.get("route"), "path", "unmatched")


class RequestContext:
    """Wrap a whole ASGI application.

    `scope["trace_id"]` holds the request id, which is also returned as `X-Request-Id`. Methods
    outside the known ones are reported to the observer as `other`. A request whose client went
    away before the response began is reported with status 499. Requests for the routes in `quiet`
    leave no line in the log, as those for health and metrics never do.
    """

    def __init__(self, app: ASGIApp, observe: Observer, quiet: Set[str] = frozenset()) -> None:
        self._app = app
        self._observe = observe
        self._quiet = _QUIET_ROUTES | quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = next((v for k, v in scope["headers"] if k == b"x-request-id"), b"")
        trace_id = sane_or_new(offered.decode("latin-1"))
        scope["trace_id"] = trace_id
        _current.set(trace_id)
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        status = 499
        begun = time.perf_counter()

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = trace_id
                if lifecycle.draining:
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception as error:
            get_logger().error("request_failed", route=route_of(scope), exc_info=error)
        finally:
            seconds = time.perf_counter() - begun
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = route_of(scope)
            self._observe(route, method, status, seconds)
            if route not in self._quiet:
                get_logger().info(
                    "request", route=route, method=method, status=status, ms=round(seconds * 1e3, 2)
                )
