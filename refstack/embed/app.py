"""The embedding worker's routes."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from refstack.common import device
from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.logs import get_logger
from refstack.common.responses import JsonResponse, read_body
from refstack.common.settings import Environment, SettingError
from refstack.embed.api import EXCEPTION_HANDLERS, MOST_BYTES, ApiError, parse, respond
from refstack.embed.models import DIMENSIONS, LOADERS, ON_CUDA, ModelUnavailable
from refstack.embed.pool import Overloaded, Pool
from refstack.embed.quota import Quota

SHORTEST_KEY = 8
_ROUTE = "/v1/embeddings"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Worker:
    """The routes, with what they share."""

    def __init__(
        self, models: tuple[str, ...], keys: tuple[str, ...], pool: Pool, quota: Quota
    ) -> None:
        self.models = models
        self._keys = [key.encode() for key in keys]
        self.pool = pool
        self._quota = quota
        self._started = int(time.time())
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "rag_embed_requests_total", "Embedding requests", ["status"], registry=self.registry
        )
        self._latency = Histogram(
            "rag_embed_latency_seconds",
            "Time to answer an embedding request",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._texts = Counter("rag_embed_texts_total", "Texts embedded", registry=self.registry)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request for embeddings; other routes are not counted."""
        if route == _ROUTE:
            self._requests.labels(str(status)).inc()
            self._latency.observe(seconds)

    async def ready(self) -> dict[str, str | None]:
        """The first model must be loaded, and no other may have failed to load."""
        reasons = {name: self.pool.failure(name) for name in self.models}
        first = self.models[0]
        if reasons[first] is None and not self.pool.loaded(first):
            reasons[first] = "loading"
        return reasons

    def _authorise(self, request: Request) -> None:
        scheme, _, offered = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not offered.strip():
            raise ApiError(
                401, "You didn't provide an API key; send `Authorization: Bearer <key>`."
            )
        given = offered.strip().encode()
        # Every key is compared, so that the time taken does not tell which one is near.
        if not max(hmac.compare_digest(given, key) for key in self._keys):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    async def embeddings(self, request: Request) -> Response:
        """`POST /v1/embeddings`."""
        self._authorise(request)
        self._quota.take()
        ask = parse(await read_body(request, MOST_BYTES), self.models, DIMENSIONS)
        try:
            embedded = await self.pool.embed(ask.model, ask.texts)
        except ModelUnavailable as error:
            get_logger().error("model_unavailable", model=ask.model, reason=str(error))
            raise ApiError(503, "The model cannot be loaded.", kind="server_error") from None
        except Overloaded:
            raise ApiError(
                503,
                "Too many requests are waiting.",
                kind="server_error",
                code="overloaded",
                headers={"Retry-After": "1"},
            ) from None
        self._texts.inc(len(ask.texts))
        return respond(ask, embedded.vectors, embedded.tokens)

    async def list_models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        self._authorise(request)
        return JsonResponse({"object": "list", "data": [self._described(n) for n in self.models]})

    async def one_model(self, request: Request) -> Response:
        """`GET /v1/models/{model}`."""
        self._authorise(request)
        name = request.path_params["model"]
        if name not in self.models:
            raise ApiError(
                404, "The model does not exist here.", param="model", code="model_not_found"
            )
        return JsonResponse(self._described(name))

    def _described(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": "ragdrill"}

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Load the first model behind the first answers, and leave no thread behind."""
        first = asyncio.create_task(self._load_first())
        yield
        first.cancel()
        self.pool.close()

    async def _load_first(self) -> None:
        try:
            await self.pool.load(self.models[0])
        except ModelUnavailable as error:
            get_logger().error("model_unavailable", model=self.models[0], reason=str(error))


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError."""
    models = environment.names("EMBED_MODELS", choices=LOADERS)
    keys = environment.names("EMBED_API_KEYS", secret=True)
    if min(map(len, keys)) < SHORTEST_KEY or not all(key.isascii() for key in keys):
        expected = f"a comma-separated list of keys of at least {SHORTEST_KEY} ASCII characters"
        raise SettingError("EMBED_API_KEYS", ",".join(keys), expected, secret=True)
    devices = device.chosen(environment, "EMBED_DEVICE", {name: ON_CUDA[name] for name in models})
    pool = Pool(
        devices,
        environment.integer("EMBED_THREADS", 2, low=1, high=64),
        environment.integer("EMBED_QUEUE", 128, low=1, high=10_000),
    )
    quota = Quota(environment.integer("EMBED_REQUESTS_PER_MINUTE", 0, low=0, high=1_000_000))
    worker = Worker(models, keys, pool, quota)
    device.export(worker.registry, "rag_embed_device_info", devices)
    app = Starlette(
        routes=[
            Route(_ROUTE, worker.embeddings, methods=["POST"]),
            Route("/v1/models", worker.list_models),
            Route("/v1/models/{model}", worker.one_model),
            *service_routes(
                "embed",
                worker.registry,
                worker.ready,
                models=list(models),
                device=device.foremost(devices),
                devices=devices,
            ),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=worker.lifespan,
    )
    return RequestContext(app, worker.observe)
