"""The reranker's routes."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from refstack.common import device
from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.logs import get_logger
from refstack.common.responses import read_body
from refstack.common.settings import Environment, SettingError
from refstack.embed.models import ModelUnavailable
from refstack.rerank.api import EXCEPTION_HANDLERS, MOST_BYTES, ApiError, parse, respond
from refstack.rerank.scorers import ON_CUDA, SCORERS, Scorer

SHORTEST_KEY = 8
DEFAULT_MODEL = "hybrid-256"
_ROUTE = "/rerank"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Reranker:
    """The routes, with what they share; at most `most_waiting` requests are held at once."""

    def __init__(
        self,
        model: str,
        place: str,
        keys: tuple[str, ...],
        cache_bytes: int,
        threads: int,
        most_waiting: int,
    ) -> None:
        self._model, self._place = model, place
        self._cache_bytes = cache_bytes
        self._keys = [key.encode() for key in keys]
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="rerank")
        self._scorer: Scorer | None = None
        self._failure: str | None = "loading"
        self._most_waiting = most_waiting
        self._waiting = 0
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "rag_rerank_requests_total", "Rerank requests", ["status"], registry=self.registry
        )
        self._latency = Histogram(
            "rag_rerank_latency_seconds",
            "Time to answer a rerank request",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._texts = Counter("rag_rerank_texts_total", "Texts scored", registry=self.registry)
        self._batch = Histogram(
            "rag_rerank_batch_texts",
            "Texts in a rerank request",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000),
            registry=self.registry,
        )
        hits = Gauge("rag_rerank_cache_hits", "Texts found in the cache", registry=self.registry)
        misses = Gauge("rag_rerank_cache_misses", "Texts read anew", registry=self.registry)
        hits.set_function(lambda: self._scorer.cache_hits if self._scorer else 0)
        misses.set_function(lambda: self._scorer.cache_misses if self._scorer else 0)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a rerank request; other routes are not counted."""
        if route == _ROUTE:
            self._requests.labels(str(status)).inc()
            self._latency.observe(seconds)

    async def ready(self) -> dict[str, str | None]:
        """The model must be loaded."""
        return {self._model: self._failure}

    def _authorise(self, request: Request) -> None:
        scheme, _, offered = request.headers.get("authorization", "").partition(" ")
        given = offered.strip().encode() if scheme.lower() == "bearer" else b""
        # Every key is compared, so that the time taken does not tell which one is near.
        if not max(hmac.compare_digest(given, key) for key in self._keys):
            raise ApiError(401, "send a valid key as `Authorization: Bearer <key>`", "Unauthorized")

    async def rerank(self, request: Request) -> Response:
        """`POST /rerank`."""
        self._authorise(request)
        ask = parse(await read_body(request, MOST_BYTES))
        scorer = self._scorer
        if scorer is None:
            raise ApiError(503, f"the model is not there: {self._failure}", "Unhealthy")
        if self._waiting >= self._most_waiting:
            raise ApiError(429, "the model is overloaded", "Overloaded", {"Retry-After": "1"})
        self._waiting += 1
        try:
            scores = await asyncio.get_running_loop().run_in_executor(
                self._executor, scorer.scores, ask.query, ask.texts
            )
        finally:
            self._waiting -= 1
        self._texts.inc(len(ask.texts))
        self._batch.observe(len(ask.texts))
        return respond(ask, scores)

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Load the model behind the first answers, and leave no thread behind."""
        loading = asyncio.create_task(self._load())
        yield
        loading.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._scorer = await loop.run_in_executor(
                self._executor, SCORERS[self._model], self._cache_bytes, self._place
            )
            self._failure = None
        except Exception as error:
            unavailable = isinstance(error, ModelUnavailable)
            self._failure = str(error) if unavailable else type(error).__name__
            get_logger().error("model_unavailable", model=self._model, reason=self._failure)


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError."""
    keys = environment.names("RERANK_API_KEYS", secret=True)
    if min(map(len, keys)) < SHORTEST_KEY or not all(key.isascii() for key in keys):
        expected = f"a comma-separated list of keys of at least {SHORTEST_KEY} ASCII characters"
        raise SettingError("RERANK_API_KEYS", ",".join(keys), expected, secret=True)
    model = environment.choice("RERANK_MODEL", SCORERS, DEFAULT_MODEL)
    devices = device.chosen(environment, "RERANK_DEVICE", {model: ON_CUDA[model]})
    reranker = Reranker(
        model,
        devices[model],
        keys,
        environment.integer("RERANK_CACHE_MB", 64, low=0, high=65_536) << 20,
        environment.integer("RERANK_THREADS", 2, low=1, high=64),
        environment.integer("RERANK_QUEUE", 128, low=1, high=10_000),
    )
    device.export(reranker.registry, "rag_rerank_device_info", devices)
    app = Starlette(
        routes=[
            Route(_ROUTE, reranker.rerank, methods=["POST"]),
            *service_routes(
                "rerank", reranker.registry, reranker.ready, model=model, device=devices[model]
            ),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=reranker.lifespan,
    )
    return RequestContext(app, reranker.observe)
