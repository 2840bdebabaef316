"""The HTTP API: Toxiproxy's routes, statuses and bodies, as a plain ASGI application."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any
from urllib.parse import quote

from refstack.common import VERSION, logs
from refstack.faultproxy import API_VERSION, metrics
from refstack.faultproxy.body import decode
from refstack.faultproxy.errors import ApiError
from refstack.faultproxy.registry import Populated, Registry

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_LIMIT_BYTES = 16 * 1024 * 1024
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """A response. An empty `content_type` sends none."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """What a handler needs of a request: the variable parts of its path, and its body."""

    names: list[str]
    body: bytes


Handler = Callable[[Call], Awaitable[Answer]]


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_json(status: int, value: Any) -> Answer:
    """A JSON answer."""
    return Answer(status, _dumps(value).encode("utf-8", "replace"), JSON)


def plain_text(status: int, text: str) -> Answer:
    """A text answer, as Go's `http.Error` writes one."""
    body = f"{text}\n".encode("utf-8", "replace")
    return Answer(status, body, TEXT, {"x-content-type-options": "nosniff"})


def as_error(error: ApiError) -> Answer:
    """An error: JSON, although its content type says text."""
    return plain_text(error.status, _dumps({"error": error.message, "status": error.status}))


NO_CONTENT = Answer(204)
METHOD_NOT_ALLOWED = Answer(405)
NOT_FOUND = plain_text(404, "404 page not found")


class Api:
    """The application. `readiness` returns None, or the reason not to be called ready."""

    def __init__(self, registry: Registry, counters: metrics.Metrics) -> None:
        self._registry = registry
        self._metrics = counters
        # A * stands for one path segment, handed to the handler.
        self._routes: dict[tuple[str, ...], dict[str, Handler]] = {
            ("reset",): {"POST": self._reset},
            ("populate",): {"POST": self._populate},
            ("version",): {"GET": self._version},
            ("proxies",): {"GET": self._proxies, "POST": self._create_proxy},
            ("proxies", "*"): {
                "GET": self._proxy,
                "POST": self._update_proxy,
                "PATCH": self._update_proxy,
                "DELETE": self._delete_proxy,
            },
            ("proxies", "*", "toxics"): {"GET": self._toxics, "POST": self._create_toxic},
            ("proxies", "*", "toxics", "*"): {
                "GET": self._toxic,
                "POST": self._update_toxic,
                "PATCH": self._update_toxic,
                "DELETE": self._delete_toxic,
            },
            ("healthz",): {"GET": self._healthz},
            ("readyz",): {"GET": self._readyz},
        }
        if counters.enabled:
            self._routes[("metrics",)] = {"*": self._show_metrics}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = await self._answer(scope, receive)
        headers = {"content-length": str(len(answer.body)), **answer.headers}
        if answer.status == 204:
            del headers["content-length"]
        if answer.content_type:
            headers["content-type"] = answer.content_type
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"], scope["method"]
        clean = _clean(path)
        if clean != path:
            return Answer(301, headers={"location": quote(clean)})
        handlers, names = self._match(path)
        if handlers is None:
            return NOT_FOUND
        handler = handlers.get(method) or handlers.get("*")
        if handler is None:
            return METHOD_NOT_ALLOWED
        if _agent(scope).startswith(b"Mozilla/"):
            answer = plain_text(403, "User agent not allowed")
        else:
            answer = await self._handle(handler, names, receive, f"{method} {path}")
        answer.headers["x-toxiproxy-request-id"] = uuid.uuid4().hex[:20]
        return answer

    async def _handle(
        self, handler: Handler, names: list[str], receive: Receive, request: str
    ) -> Answer:
        try:
            answer = await handler(Call(names, await _read(receive)))
        except ApiError as error:
            logs.get_logger().info("refused", request=request, reason=error.message)
            answer = as_error(error)
        except Exception as error:
            logs.get_logger().error("request_failed", request=request, exc_info=error)
            answer = as_error(ApiError("the fault proxy failed; its log says where", 500))
        return Answer(answer.status, answer.body, answer.content_type, dict(answer.headers))

    def _match(self, path: str) -> tuple[dict[str, Handler] | None, list[str]]:
        segments = path.removeprefix("/").split("/")
        for pattern, handlers in self._routes.items():
            if len(pattern) == len(segments) and all(
                segment if expected == "*" else expected == segment
                for expected, segment in zip(pattern, segments, strict=True)
            ):
                pairs = zip(pattern, segments, strict=True)
                return handlers, [segment for expected, segment in pairs if expected == "*"]
        return None, []

    # Proxies.

    async def _proxies(self, _call: Call) -> Answer:
        return as_json(200, {proxy.name: proxy.show() for proxy in self._registry.all()})

    async def _create_proxy(self, call: Call) -> Answer:
        return as_json(201, (await self._registry.create(decode(call.body))).show())

    async def _proxy(self, call: Call) -> Answer:
        return as_json(200, self._registry.get(call.names[0]).show())

    async def _update_proxy(self, call: Call) -> Answer:
        self._registry.get(call.names[0])
        proxy = await self._registry.update(call.names[0], decode(call.body))
        return as_json(200, proxy.show())

    async def _delete_proxy(self, call: Call) -> Answer:
        self._registry.remove(call.names[0])
        return NO_CONTENT

    async def _populate(self, call: Call) -> Answer:
        try:
            populated = await self._registry.populate(decode(call.body))
        except ApiError as error:
            populated = Populated(None, error)
        shown = {"proxies": [proxy.show() for proxy in populated.proxies or []] or None}
        if populated.error is None:
            return as_json(201, shown)
        failure = {"error": populated.error.message, "status": populated.error.status}
        return as_json(populated.error.status, failure | shown)

    async def _reset(self, _call: Call) -> Answer:
        await self._registry.reset()
        return NO_CONTENT

    # Toxics.

    async def _toxics(self, call: Call) -> Answer:
        chain = self._registry.get(call.names[0]).chain
        return as_json(200, [toxic.show() for toxic in chain.all()])

    async def _create_toxic(self, call: Call) -> Answer:
        proxy = self._registry.get(call.names[0])
        return as_json(200, proxy.add_toxic(decode(call.body)).show())

    async def _toxic(self, call: Call) -> Answer:
        proxy_name, name = call.names
        return as_json(200, self._registry.get(proxy_name).chain.get(name).show())

    async def _update_toxic(self, call: Call) -> Answer:
        proxy_name, name = call.names
        proxy = self._registry.get(proxy_name)
        proxy.chain.get(name)
        return as_json(200, proxy.update_toxic(name, decode(call.body)).show())

    async def _delete_toxic(self, call: Call) -> Answer:
        proxy_name, name = call.names
        proxy = self._registry.get(proxy_name)
        proxy.remove_toxic(proxy.chain.get(name))
        return NO_CONTENT

    # The server itself.

    async def _version(self, _call: Call) -> Answer:
        body = f'{{"version": "{API_VERSION}"}}\n'.encode()
        return Answer(200, body, "application/json;charset=utf-8")

    async def _show_metrics(self, _call: Call) -> Answer:
        return Answer(200, self._metrics.render().encode(), metrics.CONTENT_TYPE)

    async def _healthz(self, _call: Call) -> Answer:
        said = {"status": "ok", "service": "faultproxy", "version": VERSION}
        return as_json(200, said | {"api_version": API_VERSION})

    async def _readyz(self, _call: Call) -> Answer:
        return as_json(200, {"status": "ready", "service": "faultproxy", "dependencies": {}})


def _clean(path: str) -> str:
    clean = "/" + normpath(path).lstrip("/")
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _agent(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"user-agent"), b"")


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_LIMIT_BYTES:
            raise ApiError(f"request body over {BODY_LIMIT_BYTES} bytes", 413)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
