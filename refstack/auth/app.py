"""The auth service's settings and application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from refstack.auth.admin import Admin
from refstack.auth.errors import EXCEPTION_HANDLERS, AuthError
from refstack.auth.keys import NAME as KEYS
from refstack.auth.keys import read_keys
from refstack.auth.limiter import Limiter
from refstack.auth.passwords import Passwords
from refstack.auth.reloading import FILE, FollowedKeys
from refstack.auth.sessions import Sessions
from refstack.auth.store import Store, Unreachable
from refstack.common import VERSION
from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.logs import get_logger
from refstack.common.responses import JsonResponse
from refstack.common.settings import Environment

SHORTEST_SERVICE_KEY = 16


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError."""
    issuer = environment.text(
        "GOTRUE_JWT_ISSUER", expected="the issuer of the tokens, such as a URL"
    )
    audience = environment.text("GOTRUE_JWT_AUD", "authenticated")
    file = environment.optional(FILE)
    keys = FollowedKeys(
        environment.text(KEYS, expected="a JSON array of JWKs"),
        Path(file) if file else None,
        lambda held: read_keys(held, issuer, audience),
    )
    store = Store(
        environment.url("AUTH_DATABASE_URL", schemes=("postgresql", "postgres")),
        environment.integer("GOTRUE_SECURITY_REFRESH_TOKEN_REUSE_INTERVAL", 10, low=0, high=3600),
    )
    passwords = Passwords(environment.integer("AUTH_SCRYPT_ROUNDS", 5, low=1, high=64))
    limiter = Limiter(
        environment.integer("AUTH_FAILED_LOGINS", 10, low=1, high=10_000),
        environment.number("AUTH_FAILED_LOGINS_WINDOW_S", 60, low=1, high=86_400),
    )
    lifetime_s = environment.integer("GOTRUE_JWT_EXP", 3600, low=1, high=86_400 * 7)
    sessions = Sessions(store, keys, passwords, limiter, lifetime_s)
    service_key = environment.secret("AUTH_SERVICE_KEY", shortest=SHORTEST_SERVICE_KEY)
    return _application(store, keys, passwords, sessions, Admin(store, passwords, service_key))


def _application(
    store: Store, keys: FollowedKeys, passwords: Passwords, sessions: Sessions, admin: Admin
) -> ASGIApp:
    registry = CollectorRegistry()
    requests = Counter(
        "rag_auth_requests_total", "Requests", ["route", "status"], registry=registry
    )
    latency = Histogram("rag_auth_latency_seconds", "Time to answer", ["route"], registry=registry)

    def observe(route: str, method: str, status: int, seconds: float) -> None:
        requests.labels(route, str(status)).inc()
        latency.labels(route).observe(seconds)

    async def health(_request: Request) -> Response:
        description = "Accounts and tokens in the shape of Supabase Auth; not Supabase Auth"
        return JsonResponse(
            {"version": VERSION, "name": "ragdrill-auth", "description": description}
        )

    async def jwks(_request: Request) -> Response:
        # Ten minutes, as at Supabase: a rotation has to publish a key before it signs.
        return JsonResponse(keys.jwks, headers={"Cache-Control": "public, max-age=600"})

    async def ready() -> dict[str, str | None]:
        return {"metadata": await store.check()}

    async def unreachable(_request: Request, error: Exception) -> Response:
        get_logger().warning("database_unreachable", error=type(error).__name__)
        failure = AuthError(503, "unexpected_failure", "The database does not answer")
        return JsonResponse(failure.body, 503, headers={"Retry-After": "1"})

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await store.open()
        get_logger().info("signing_key", kid=keys.signing_kid, public_keys=len(keys.jwks["keys"]))
        following = asyncio.create_task(keys.follow())
        yield
        following.cancel()
        passwords.close()
        await store.close()

    handlers: dict[Any, Any] = dict.fromkeys(Unreachable, unreachable)
    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/.well-known/jwks.json", jwks),
            *sessions.routes(),
            *admin.routes(),
            *service_routes("auth", registry, ready),
        ],
        exception_handlers={**EXCEPTION_HANDLERS, **handlers},
        lifespan=lifespan,
    )
    return RequestContext(app, observe)
