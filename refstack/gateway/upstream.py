"""Calls to HTTP upstreams: bounded in time, retried a little, guarded by a circuit breaker."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import aiohttp
import orjson

from refstack.common.context import REQUEST_ID_HEADER, request_id
from refstack.gateway.breaker import Breaker
from refstack.gateway.deadline import Deadline
from refstack.gateway.metrics import GatewayMetrics
from refstack.gateway.settings import Endpoint

ATTEMPTS = 3
PAUSE_S = 0.02
"""Upper end of the first random pause before another try; it doubles with each."""

_PASSING = frozenset({502, 503, 504})
_REFUSALS = frozenset({401, 403, 429})


class UpstreamError(Exception):
    """An upstream that did not do its part; `kind` is one of `metrics.ERROR_KINDS`."""

    def __init__(self, upstream: str, kind: str, *, status: int | None = None) -> None:
        super().__init__(f"{upstream}: {kind}" + (f" {status}" if status else ""))
        self.upstream = upstream
        self.kind = kind
        self.status = status


class Upstream:
    """One HTTP upstream. All calls made through it must be safe to repeat."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        session: aiohttp.ClientSession,
        metrics: GatewayMetrics,
        *,
        key_header: str = "Authorization",
    ) -> None:
        self.name = name
        gauge = metrics.breaker_open.labels(name)
        self.breaker = Breaker(lambda is_open: gauge.set(int(is_open)))
        self._base = endpoint.url
        self._session = session
        self._metrics = metrics
        self._headers: dict[str, str] = {"Content-Type": "application/json"}
        if endpoint.api_key is not None:
            prefix = "Bearer " if key_header == "Authorization" else ""
            self._headers[key_header] = prefix + endpoint.api_key

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        deadline: Deadline,
        timeout_s: float,
        guarded: bool = True,
    ) -> tuple[int, Any]:
        """Send JSON, return status and JSON of an answer below 500 that is no refusal of us.

        Connections that fail and the statuses 502, 503 and 504 are tried again, at most
        `ATTEMPTS` times in all, after a random pause; a timeout is not. Each try takes at most
        `timeout_s` seconds and all of them what the deadline leaves. `guarded=False` leaves the
        breaker out of it (for readiness). Raises `UpstreamError`.
        """
        if guarded and not self.breaker.allows():
            self._metrics.upstream_errors.labels(self.name, "breaker_open").inc()
            raise UpstreamError(self.name, "breaker_open")
        data = None if body is None else orjson.dumps(body)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self._once(method, path, data, deadline.within(timeout_s))
            except UpstreamError as error:
                again = error.kind == "connect" or error.status in _PASSING
                pause = random.uniform(0, PAUSE_S * 2**attempt)
                if again and attempt < ATTEMPTS and deadline.remaining() > pause:
                    await asyncio.sleep(pause)
                    continue
                if guarded:
                    self.breaker.failed()
                raise
            if guarded:
                self.breaker.succeeded()
            return answer
        raise AssertionError("the last try returns or raises")

    async def _once(
        self, method: str, path: str, data: bytes | None, timeout_s: float
    ) -> tuple[int, Any]:
        begun = time.perf_counter()
        try:
            return await self._exchange(method, path, data, timeout_s)
        except UpstreamError as error:
            self._metrics.upstream_errors.labels(self.name, error.kind).inc()
            raise
        finally:
            seconds = time.perf_counter() - begun
            self._metrics.upstream_latency.labels(self.name).observe(seconds)

    async def _exchange(
        self, method: str, path: str, data: bytes | None, timeout_s: float
    ) -> tuple[int, Any]:
        headers = {**self._headers, REQUEST_ID_HEADER: request_id()}
        try:
            async with self._session.request(
                method,
                self._base + path,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=max(timeout_s, 0.001)),
                allow_redirects=False,
            ) as response:
                status, content = response.status, await response.read()
        except TimeoutError:
            raise UpstreamError(self.name, "timeout") from None
        except (aiohttp.ClientError, OSError):
            raise UpstreamError(self.name, "connect") from None
        if status >= 500 or 300 <= status < 400:
            raise UpstreamError(self.name, "status", status=status)
        if status in _REFUSALS:
            raise UpstreamError(self.name, "refused", status=status)
        try:
            return status, orjson.loads(content)
        except orjson.JSONDecodeError:
            if status >= 400:
                return status, None
            raise UpstreamError(self.name, "malformed", status=status) from None
