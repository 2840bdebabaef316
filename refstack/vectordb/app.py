"""The HTTP side: routing, rights, the API's envelope, and hand-over to workers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from refstack.common.logs import get_logger
from refstack.vectordb.auth import Access, Authenticator, Refused
from refstack.vectordb.checks import query_choice
from refstack.vectordb.endpoints import Accepted, Endpoints
from refstack.vectordb.errors import ApiError, query_error
from refstack.vectordb.measures import File, Text
from refstack.vectordb.registry import Registry
from refstack.vectordb.routes import Route, match
from refstack.vectordb.settings import Settings
from refstack.vectordb.snapshots import Snapshots

_JSON = [(b"content-type", b"application/json")]
_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
_ORDERINGS = ("weak", "medium", "strong")
_CONSISTENCIES = ("all", "majority", "quorum")
_PARAMETERS = (
    "wait",
    "ordering",
    "timeout",
    "consistency",
    "priority",
    "checksum",
    "anonymize",
    "per_collection",
    "details_level",
)
_CHUNK = 1 << 18


class Request:
    """One request as endpoints see it."""

    def __init__(
        self, route: Route, path: dict[str, str], scope: Scope, receive: Receive, access: Access
    ) -> None:
        self.route = route
        self.path = path
        self.access = access
        self.headers: dict[bytes, bytes] = scope["headers_by_name"]
        self._receive = receive
        raw = scope["query_string"].decode("latin-1")
        self._query = parse_qs(raw, keep_blank_values=True) if raw else {}

        for name in self._query:
            if name not in _PARAMETERS:
                names = ", ".join(f"`{known}`" for known in _PARAMETERS)
                raise query_error(f"unknown field `{name}`, expected one of {names}")

    def query(self, name: str) -> str | None:
        """The last value of a query parameter, or None."""
        values = self._query.get(name)
        return values[-1] if values else None

    def timeout_s(self) -> float | None:
        """`timeout` in whole seconds, at least 1. Raises `ApiError`."""
        text = self.query("timeout")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 86400:
            raise ApiError(
                422,
                f"Validation error in query parameters: [timeout: value {text} invalid, must be 1 "
                "or larger]",
            )
        return float(text)

    def check_consistency(self) -> None:
        """`ordering` and `consistency` change nothing on one node, but a wrong one is refused."""
        ordering, consistency = self.query("ordering"), self.query("consistency")
        query_choice(ordering, "ordering", _ORDERINGS)
        if consistency is not None and not (consistency.isascii() and consistency.isdigit()):
            query_choice(consistency, "consistency", _CONSISTENCIES)

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces. Raises `ApiError` 400 when the client goes away."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ApiError(400, "Bad request: the client went away during the upload")
            piece = message.get("body", b"")
            if piece:
                yield piece
            if not message.get("more_body", False):
                return

    async def json(self, limit: int) -> bytes:
        """The whole body, said to be JSON. Raises `ApiError` 400 otherwise, or beyond `limit`."""
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json" and not kind.endswith(b"+json"):
            raise ApiError(
                400, "Content type error: a body must come with `Content-Type: application/json`"
            )
        declared = self.headers.get(b"content-length", b"0")
        size = int(declared) if declared.isdigit() else 0
        if size <= limit:
            parts, size = [], 0
            async for piece in self.stream():
                parts.append(piece)
                size += len(piece)
                if size > limit:
                    break
            else:
                return b"".join(parts)
        raise ApiError(
            400, f"JSON payload ({size} bytes) is larger than allowed (limit: {limit} bytes)."
        )


class App:
    """The ASGI application. Answers every request, an unknown path with an empty 404."""

    def __init__(self, settings: Settings) -> None:
        self._registry = Registry(settings.storage)
        self._registry.lock()
        snapshots = Snapshots(settings.snapshots, self._registry)
        self._endpoints = Endpoints(settings, self._registry, snapshots)
        self._auth = Authenticator(settings, self._value_exists)

    async def _value_exists(self, collection: str, must: list[dict[str, Any]]) -> bool:
        worker = self._registry.find(collection)
        body = orjson.dumps({"filter": {"must": must}, "exact": True})
        return bool(orjson.loads(await worker.ask("count", body))["count"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        begun = time.perf_counter()
        scope["headers_by_name"] = dict(scope["headers"])
        raw_path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        found = match(scope["method"], raw_path)
        template = found[0].template if found else "unmatched"
        scope["route"] = _Template(template)
        try:
            access = await self._auth.access(_normal(raw_path), scope["headers_by_name"])
        except Refused as refused:
            await _send(send, refused.status, refused.text.encode(), _TEXT)
            self._count(found, refused.status, begun)
            return
        if found is None:
            await _send(send, 404, b"", [])
            return
        route, path = found
        status = 500
        try:
            try:
                request = Request(route, path, scope, receive, access)
            except ApiError as error:
                status = error.status
                await _send(send, status, _error(error.message, begun), _JSON)
                return
            status, body, headers = await self._answer(request, begun)
            if isinstance(body, File):
                await _send_file(send, body)
            else:
                await _send(send, status, body, headers)
        finally:
            self._count(found, status, begun)

    def _count(self, found: tuple[Route, Any] | None, status: int, begun: float) -> None:
        if found is not None:
            route = found[0]
            seconds = time.perf_counter() - begun
            self._endpoints.responses.add(route.method, route.template, status, seconds)

    async def _answer(
        self, request: Request, begun: float
    ) -> tuple[int, bytes | File, list[tuple[bytes, bytes]]]:
        route = request.route
        try:
            self._check_rights(request)
            if route.handler == "worker":
                status, raw = await self._endpoints.worker(request)
                if status == 200:
                    return 200, _envelope(raw, begun), _JSON
                raise ApiError(status, raw.decode("utf-8", "replace"))
            handler = cast(
                Callable[[Request], Awaitable[Any]], getattr(self._endpoints, route.handler)
            )
            result = await handler(request)
        except ApiError as error:
            return error.status, _error(error.message, begun), _JSON
        except Exception as error:
            get_logger().error("request_failed", route=route.template, exc_info=error)
            return 500, _error("Service internal error: the request failed", begun), _JSON
        if isinstance(result, File):
            return 200, result, []
        if isinstance(result, Text):
            return result.status, result.body, [(b"content-type", result.content_type.encode())]
        if isinstance(result, Accepted):
            body = orjson.dumps({"status": "accepted", "time": time.perf_counter() - begun})
            return 202, body, _JSON
        return 200, _envelope(orjson.dumps(result), begun), _JSON

    def _check_rights(self, request: Request) -> None:
        level = request.route.level
        if level:
            name = request.path.get("collection_name")
            target = None if name is None else self._registry.aliases.get(name, name)
            request.access.check(level, target)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._registry.open()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._registry.close()
        await send({"type": "lifespan.shutdown.complete"})


class _Template:
    """What the request log takes a route's template from."""

    def __init__(self, path: str) -> None:
        self.path = path


def _normal(raw_path: str) -> str:
    return "/" + "/".join(part for part in raw_path.split("/") if part)


def _envelope(result: bytes, begun: float) -> bytes:
    elapsed = f"{time.perf_counter() - begun:.9f}".encode()
    return b'{"result":' + result + b',"status":"ok","time":' + elapsed + b"}"


def _error(message: str, begun: float) -> bytes:
    return orjson.dumps({"status": {"error": message}, "time": time.perf_counter() - begun})


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _send_file(send: Send, file: File) -> None:
    with file.path.open("rb") as handle:
        size = file.path.stat().st_size
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-length", str(size).encode()),
            (b"content-disposition", f'attachment; filename="{file.path.name}"'.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while chunk := handle.read(_CHUNK):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
