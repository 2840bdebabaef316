"""The routes that every service has: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refstack.common import VERSION
from refstack.common.lifecycle import lifecycle
from refstack.common.responses import JsonResponse

Readiness = Callable[[], Awaitable[dict[str, str | None]]]
"""Returns, per dependency, None when it would serve or the reason why it would not."""


def service_routes(
    service: str, registry: CollectorRegistry, ready: Readiness, **facts: Any
) -> list[Route]:
    """The three routes. `facts` are added to what `/healthz` says.

    `/readyz` answers 200 only when every dependency would serve and the process is not
    stopping; else 503 with a reason per dependency.
    """

    async def healthz(_request: Request) -> Response:
        return JsonResponse({"status": "ok", "service": service, "version": VERSION, **facts})

    async def readyz(_request: Request) -> Response:
        reasons = await ready()
        if lifecycle.draining:
            reasons = {**reasons, "process": "stopping"}
        failing = {name: reason for name, reason in reasons.items() if reason is not None}
        body = {
            "status": "unavailable" if failing else "ready",
            "service": service,
            "dependencies": {name: reason or "ok" for name, reason in reasons.items()},
        }
        return JsonResponse(body, 503 if failing else 200)

    async def metrics(_request: Request) -> Response:
        return Response(
            generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]
