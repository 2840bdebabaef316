"""The gateway put together from its settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psycopg
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.logs import get_logger
from refstack.common.problems import EXCEPTION_HANDLERS, Problem
from refstack.common.responses import JsonResponse
from refstack.common.settings import Environment
from refstack.gateway.catalogue import Catalogue
from refstack.gateway.cleanup import Cleaner
from refstack.gateway.deadline import Deadline
from refstack.gateway.embedding import Embedder
from refstack.gateway.ingest import Ingest
from refstack.gateway.metadata import MetadataStore
from refstack.gateway.metrics import GatewayMetrics
from refstack.gateway.readiness import Readiness
from refstack.gateway.reranking import Reranker
from refstack.gateway.retrieval import Retrieval
from refstack.gateway.routes import Api
from refstack.gateway.settings import Endpoint, Settings, read_settings
from refstack.gateway.spaces import Spaces
from refstack.gateway.tokens import KeyCache, TokenVerifier
from refstack.gateway.upstream import Upstream, UpstreamError
from refstack.gateway.vectors import VectorStore

COLOUR_HEADER = "X-Gateway-Colour"
AUTH_TIMEOUT_S = 2.0


async def _on_upstream_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UpstreamError)
    fields = {"upstream": error.upstream, "kind": error.kind, "status": error.status}
    get_logger().warning("upstream_unavailable", **fields)
    problem = Problem(
        503,
        f"The service cannot answer now: its part '{error.upstream}' is unavailable.",
        kind=f"{error.upstream}-unavailable",
        headers={"Retry-After": "3"},
    )
    handler = EXCEPTION_HANDLERS[Problem]
    response: Response = await handler(request, problem)
    return response


async def _on_database_error(request: Request, error: Exception) -> Response:
    # A database that serves but refuses what is ours by agreement (a table that is gone, a server
    # that is read-only) is as good as away. Its message may quote a value, so it is not logged.
    state = getattr(error, "sqlstate", None)
    get_logger().error("database_refused", sqlstate=state, exc_info=error)
    return await _on_upstream_error(request, UpstreamError("metadata", "refused"))


class _Coloured:
    """Marks every response with the colour that gave it."""

    def __init__(self, app: ASGIApp, colour: str) -> None:
        self._app = app
        self._colour = colour

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_coloured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[COLOUR_HEADER] = self._colour
            await send(message)

        await self._app(scope, receive, send_coloured)


class Gateway:
    """Everything that lives as long as the process. Made inside the running event loop."""

    def __init__(self, settings: Settings, metrics: GatewayMetrics) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=256, limit_per_host=64, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

        def upstream(name: str, endpoint: Endpoint, **options: Any) -> Upstream:
            return Upstream(name, endpoint, self._session, metrics, **options)

        def provider(name: str, endpoint: Endpoint | None) -> Upstream | None:
            return None if endpoint is None else upstream(name, endpoint)

        auth = upstream("auth", Endpoint(settings.auth_url, None))

        async def fetch_keys() -> Any:
            path = "/.well-known/jwks.json"
            deadline = Deadline(AUTH_TIMEOUT_S)
            status, keys = await auth.call(
                "GET", path, deadline=deadline, timeout_s=AUTH_TIMEOUT_S, guarded=False
            )
            if status != 200:
                raise UpstreamError("auth", "status", status=status)
            return keys

        store = upstream("vectordb", settings.vectordb, key_header="api-key")
        vectors = VectorStore(store, settings.search_ef)
        embedder = Embedder(
            provider("embed", settings.embed_local), provider("fallback", settings.embed_fallback)
        )
        reranker = Reranker(upstream("rerank", settings.rerank), settings.rerank_batch)
        self._metadata = MetadataStore(settings.database_url, metrics)
        self._keys = KeyCache(fetch_keys, settings.jwks_refresh_s)
        spaces = Spaces(settings, vectors)
        self._cleaner = Cleaner(self._metadata, vectors, spaces, settings.cleanup_s)
        self.readiness = Readiness(self._keys, self._metadata, vectors, spaces, embedder, settings)
        self.api = Api(
            TokenVerifier(self._keys, audience=settings.jwt_audience, issuer=settings.jwt_issuer),
            Retrieval(embedder, spaces, vectors, self._metadata, reranker),
            Ingest(embedder, spaces, vectors, self._metadata, patience_s=2 * settings.timeout_s),
            Catalogue(self._metadata),
            metrics,
            settings.timeout_s,
            settings.max_inflight,
            settings.max_writes,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connections and background work, for as long as the context lasts."""
        await self._metadata.open()
        background = [
            asyncio.create_task(self._keys.keep_fresh()),
            asyncio.create_task(self._cleaner.keep_clean()),
        ]
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background, timeout=0.2)
            await self._metadata.close()
            await self._session.close()


def build(env: Environment) -> ASGIApp:
    """The gateway's ASGI application. Raises `SettingError`."""
    settings = read_settings(env)
    metrics = GatewayMetrics(settings)
    running: list[Gateway] = []

    async def ready() -> dict[str, str | None]:
        return await running[0].readiness.reasons()

    async def openapi(_request: Request) -> Response:
        from refstack.gateway.openapi import document

        return JsonResponse(document())

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        gateway = Gateway(settings, metrics)
        app.router.routes.extend(gateway.api.routes())
        running.append(gateway)
        async with gateway.running():
            yield

    app = Starlette(
        routes=[
            *service_routes(
                "gateway",
                metrics.registry,
                ready,
                colour=settings.colour,
                embed_model=settings.embed_model,
                embed_provider=settings.embed_provider,
                canary=settings.canary is not None,
                stable_model=settings.models[0],
            ),
            Route("/openapi.json", openapi),
        ],
        exception_handlers={
            **EXCEPTION_HANDLERS,
            UpstreamError: _on_upstream_error,
            psycopg.Error: _on_database_error,
        },
        lifespan=lifespan,
    )
    return RequestContext(_Coloured(app, settings.colour), metrics.observe_request)
