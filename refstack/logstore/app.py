"""The log store's routes: Loki's push and query API, as far as log lines and their counts go."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import re
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from refstack.common import VERSION
from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.logs import get_logger
from refstack.common.responses import JsonResponse, read_body
from refstack.common.settings import Environment, SettingError
from refstack.logstore import TITLE
from refstack.logstore.answers import log_answer, metric_answer
from refstack.logstore.selector import NANOSECONDS, LogQuery, QueryError, parse
from refstack.logstore.store import Entry, Store, hours

MOST_BYTES = 16 << 20
MOST_LINE = 256 << 10
"""Loki's default for the longest line (`max_line_size`)."""
PUSH = "/loki/api/v1/push"
_TENANT = re.compile(r"[A-Za-z0-9!_.*'()-]{1,150}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_DAY = 24 * 3600 * NANOSECONDS
_CLEAN_S = 600.0


class Refused(Exception):
    """A request that is answered, as Loki does, with a status and one line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class LogStore:
    """Takes lines and finds them again; a push is answered once it is on disk."""

    def __init__(self, store: Store, retention_h: float) -> None:
        self._store = store
        self._retention_h = retention_h
        self._failure: str | None = None
        self.registry = CollectorRegistry()
        self._lines = Counter(
            "rag_logs_lines_total", "Log lines taken", ["tenant"], registry=self.registry
        )
        self._doubles = Counter(
            "rag_logs_duplicate_lines_total",
            "Lines that were there already",
            registry=self.registry,
        )
        self._refused = Counter(
            "rag_logs_refused_pushes_total", "Pushes refused", ["status"], registry=self.registry
        )
        self._refused.labels("400")
        self._streams = Gauge("rag_logs_streams", "Streams", ["tenant"], registry=self.registry)

    async def ready(self) -> dict[str, str | None]:
        """The last write must have reached the disk."""
        for tenant, number in (await run_in_threadpool(self._store.count)).items():
            self._streams.labels(tenant).set(number)
        return {"file": self._failure}

    async def push(self, request: Request) -> Response:
        """`POST /loki/api/v1/push` with JSON, gzipped or not: 204, or the reason why not."""
        tenant = _tenant(request)
        body = await read_body(request, MOST_BYTES)
        streams = _streams(request, body)
        try:
            new = await run_in_threadpool(self._store.push, tenant, streams)
        except sqlite3.Error as error:
            self._failure = str(error)
            get_logger().error("not_kept", tenant=tenant, reason=self._failure)
            raise Refused(503, "the lines could not be kept; send them again") from None
        self._failure = None
        taken = sum(len(entries) for _, entries in streams)
        self._lines.labels(tenant).inc(taken)
        self._doubles.inc(taken - new)
        return Response(status_code=204)

    async def query(self, request: Request) -> Response:
        """`/loki/api/v1/query`: counts at one moment."""
        given = await _parameters(request)
        query = parse(given.get("query", ""))
        if isinstance(query, LogQuery):
            raise Refused(400, "log queries are not supported as an instant query type")
        at = _moment(given, "time", time.time_ns())
        tenant = _tenant(request)
        return _success(
            await run_in_threadpool(metric_answer, self._store, tenant, query, [at], instant=True)
        )

    async def query_range(self, request: Request) -> Response:
        """`/loki/api/v1/query_range`: lines, or counts over time."""
        given = await _parameters(request)
        query = parse(given.get("query", ""))
        end = _moment(given, "end", time.time_ns())
        start = _moment(given, "start", end - 3600 * NANOSECONDS)
        tenant = _tenant(request)
        if isinstance(query, LogQuery):
            limit = _limit(given)
            forward = given.get("direction", "backward").lower() == "forward"
            return _success(
                await run_in_threadpool(
                    log_answer, self._store, tenant, query, start, end, limit, forward=forward
                )
            )
        step = max(NANOSECONDS, round(_number(given, "step", (end - start) / 250e9) * NANOSECONDS))
        if (end - start) / step > 11000:
            raise Refused(400, "exceeded maximum resolution of 11,000 points per time series")
        moments = list(range(start, end + 1, step))
        return _success(
            await run_in_threadpool(
                metric_answer, self._store, tenant, query, moments, instant=False
            )
        )

    async def labels(self, request: Request) -> Response:
        """`/loki/api/v1/labels`: the names of labels."""
        found = await self._known(request)
        return _success(sorted({name for labels in found for name in labels}))

    async def values(self, request: Request) -> Response:
        """`/loki/api/v1/label/<name>/values`."""
        name = request.path_params["name"]
        found = await self._known(request)
        return _success(sorted({labels[name] for labels in found if name in labels}))

    async def series(self, request: Request) -> Response:
        """`/loki/api/v1/series?match[]=`: label sets."""
        return _success(await self._known(request))

    async def _known(self, request: Request) -> list[dict[str, str]]:
        given = await _parameters(request)
        wanted = given.get("match[]") or given.get("query")
        query = parse(wanted) if wanted else None
        if query is not None and not isinstance(query, LogQuery):
            raise Refused(400, "a stream selector is expected")
        end = _moment(given, "end", time.time_ns() + _DAY)
        start = _moment(given, "start", end - 7 * _DAY)
        tenant = _tenant(request)
        found = await run_in_threadpool(self._store.streams, tenant, start, end, query)
        return list(found.values())

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Forget what is too old from time to time; close the file at the end."""

        async def clean() -> None:
            while True:
                await asyncio.sleep(_CLEAN_S)
                before = time.time_ns() - hours(self._retention_h)
                await run_in_threadpool(self._store.forget_before, before)

        task = asyncio.create_task(clean())
        yield
        task.cancel()
        self._store.close()


def _tenant(request: Request) -> str:
    tenant = request.headers.get("x-scope-orgid", "")
    if not tenant:
        raise Refused(401, "no org id")
    if not _TENANT.fullmatch(tenant) or tenant in (".", ".."):
        raise Refused(400, "X-Scope-OrgID names no tenant")
    return tenant


def _streams(request: Request, body: bytes) -> list[tuple[dict[str, str], list[Entry]]]:
    kind = request.headers.get("content-type", "").split(";")[0].strip()
    if kind != "application/json":
        raise Refused(415, f"this stand-in takes application/json, not {kind or 'nothing'}")
    try:
        if request.headers.get("content-encoding") == "gzip":
            body = _unpacked(body)
        found = [
            (_labels(stream["stream"]), [_entry(value) for value in stream["values"]])
            for stream in orjson.loads(body)["streams"]
        ]
    except (ValueError, KeyError, TypeError, IndexError, OSError, zlib.error) as error:
        raise Refused(400, f"the push cannot be read: {type(error).__name__}") from None
    return found


def _unpacked(body: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        whole = file.read(MOST_BYTES + 1)
    if len(whole) > MOST_BYTES:
        raise Refused(413, f"the push holds more than {MOST_BYTES} bytes")
    return whole


def _labels(given: dict[str, str]) -> dict[str, str]:
    bad = [n for n, v in given.items() if not _LABEL.fullmatch(n) or not isinstance(v, str)]
    if not given or bad:
        raise Refused(400, "a stream needs labels: names of letters, digits and _, with texts")
    return dict(given)


def _entry(value: list[Any]) -> Entry:
    at, line = int(value[0]), value[1]
    if not isinstance(line, str) or len(line.encode()) > MOST_LINE:
        raise Refused(400, f"a line must be a text of at most {MOST_LINE} bytes")
    return at, line


async def _parameters(request: Request) -> dict[str, str]:
    given = dict(request.query_params)
    if request.method == "POST":
        form = await request.form()
        given |= {name: value for name, value in form.items() if isinstance(value, str)}
    return given


def _number(given: dict[str, str], name: str, default: float) -> float:
    try:
        return float(given[name].removesuffix("s")) if name in given else default
    except ValueError:
        raise Refused(400, f"{name} must be a number of seconds") from None


def _limit(given: dict[str, str]) -> int:
    held = given.get("limit", "100")
    if not held.isdigit() or not 1 <= int(held) <= 5000:
        raise Refused(400, "limit must be a whole number from 1 to 5000")
    return int(held)


def _moment(given: dict[str, str], name: str, default: int) -> int:
    """Nanoseconds since 1970 from what Loki takes: nanoseconds, seconds, or RFC 3339."""
    held = given.get(name)
    if held is None:
        return default
    try:
        if re.fullmatch(r"\d{14,}", held):
            return int(held)
        if re.fullmatch(r"\d+(\.\d+)?", held):
            return round(float(held) * NANOSECONDS)
        return round(datetime.fromisoformat(held).timestamp() * NANOSECONDS)
    except ValueError:
        raise Refused(400, f"{name} must be nanoseconds, seconds or RFC 3339") from None


def _success(data: dict[str, Any] | list[Any]) -> Response:
    return JsonResponse({"status": "success", "data": data})


async def _buildinfo(_request: Request) -> Response:
    return JsonResponse({"version": VERSION, "software": TITLE, "stand_in": True})


async def _ready(_request: Request) -> Response:
    return PlainTextResponse("ready\n")


def _answer(error_status: Callable[[Exception], int]) -> Callable[..., Any]:
    async def handler(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error}\n", error_status(error))

    return handler


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError."""
    path = environment.text("LOGSTORE_FILE", expected="the path of the file to keep lines in")
    retention_h = environment.number("LOGSTORE_RETENTION_H", 168.0, low=0.1, high=87_600)
    try:
        store = Store(Path(path))
    except sqlite3.Error as error:
        raise SettingError("LOGSTORE_FILE", path, f"a file of its own ({error})") from None
    logs = LogStore(store, retention_h)
    both = ["GET", "POST"]
    app = Starlette(
        routes=[
            Route(PUSH, logs.push, methods=["POST"]),
            Route("/loki/api/v1/query", logs.query, methods=both),
            Route("/loki/api/v1/query_range", logs.query_range, methods=both),
            Route("/loki/api/v1/labels", logs.labels, methods=both),
            Route("/loki/api/v1/label/{name}/values", logs.values, methods=["GET"]),
            Route("/loki/api/v1/series", logs.series, methods=both),
            Route("/loki/api/v1/status/buildinfo", _buildinfo, methods=["GET"]),
            Route("/ready", _ready, methods=["GET"]),
            *service_routes("logstore", logs.registry, logs.ready, stand_in=True),
        ],
        exception_handlers={
            Refused: _answer(lambda error: error.status if isinstance(error, Refused) else 400),
            QueryError: _answer(lambda _: 400),
        },
        lifespan=logs.lifespan,
    )
    # A line in the log for each push would itself be pushed, and so on for ever.
    return RequestContext(app, lambda route, method, status, seconds: None, quiet={PUSH, "/ready"})
