"""The administration of accounts, for holders of the service key."""

from __future__ import annotations

import hmac
import re
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refstack.auth.bodies import email_of, object_of, password_of, read_fields, user_body
from refstack.auth.errors import AuthError, invalid
from refstack.auth.passwords import Busy, Passwords
from refstack.auth.store import EmailTaken, Store
from refstack.common.responses import JsonResponse

_FIELDS = ("email", "password", "app_metadata", "user_metadata", "email_confirm", "ban_duration")
_DURATION = re.compile(r"(\d{1,6})(h|m|s)")
_UNITS = {"h": "hours", "m": "minutes", "s": "seconds"}
MOST_PER_PAGE = 1000


class Admin:
    """`/admin/users` and `/admin/users/{id}`."""

    def __init__(self, store: Store, passwords: Passwords, service_key: str) -> None:
        self._store = store
        self._passwords = passwords
        self._key = service_key.encode()

    def routes(self) -> list[Route]:
        """The routes of this part."""
        one = "/admin/users/{user_id}"
        return [
            Route("/admin/users", self.create, methods=["POST"]),
            Route("/admin/users", self.page, methods=["GET"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.change, methods=["PUT"]),
            Route(one, self.remove, methods=["DELETE"]),
        ]

    def _authorise(self, request: Request) -> None:
        scheme, _, offered = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not offered.strip():
            raise AuthError(401, "no_authorization", "This endpoint requires a Bearer token")
        if not hmac.compare_digest(offered.strip().encode(), self._key):
            raise AuthError(403, "not_admin", "This endpoint requires the service key")

    async def create(self, request: Request) -> Response:
        """`POST /admin/users`."""
        self._authorise(request)
        fields = await read_fields(request, _FIELDS)
        email = email_of(fields)
        app, own = object_of(fields, "app_metadata"), object_of(fields, "user_metadata")
        hashed = await self._hash(password_of(fields)) if "password" in fields else ""
        try:
            user = await self._store.create(email, hashed, app, own)
        except EmailTaken:
            raise _taken() from None
        return JsonResponse(user_body(user))

    async def page(self, request: Request) -> Response:
        """`GET /admin/users?page=1&per_page=50`, newest first."""
        self._authorise(request)
        page = _number(request, "page", 1, 1_000_000)
        size = _number(request, "per_page", 50, MOST_PER_PAGE)
        users, total = await self._store.page(size, (page - 1) * size)
        return JsonResponse(
            {"aud": "authenticated", "users": [user_body(user) for user in users]},
            headers={"X-Total-Count": str(total)},
        )

    async def show(self, request: Request) -> Response:
        """`GET /admin/users/{id}`."""
        self._authorise(request)
        user = await self._store.by_id(_id(request))
        if user is None:
            raise _absent()
        return JsonResponse(user_body(user))

    async def change(self, request: Request) -> Response:
        """`PUT /admin/users/{id}`: metadata is merged, a null in it takes a name away."""
        self._authorise(request)
        user_id = _id(request)
        fields = await read_fields(request, _FIELDS)
        changes: dict[str, Any] = {}
        if "email" in fields:
            changes["email"] = email_of(fields)
        if "app_metadata" in fields:
            changes["raw_app_meta_data"] = object_of(fields, "app_metadata")
        if "user_metadata" in fields:
            changes["raw_user_meta_data"] = object_of(fields, "user_metadata")
        if "ban_duration" in fields:
            changes["banned_until"] = _interval(fields["ban_duration"])
        if "password" in fields:
            changes["encrypted_password"] = await self._hash(password_of(fields))
        try:
            user = await self._store.update(user_id, changes)
        except EmailTaken:
            raise _taken() from None
        if user is None:
            raise _absent()
        return JsonResponse(user_body(user))

    async def remove(self, request: Request) -> Response:
        """`DELETE /admin/users/{id}`."""
        self._authorise(request)
        if not await self._store.delete(_id(request)):
            raise _absent()
        return JsonResponse({})

    async def _hash(self, password: str) -> str:
        try:
            return await self._passwords.hash(password)
        except Busy:
            raise AuthError(
                429, "over_request_rate_limit", "Too many sign-ins at once", {"Retry-After": "1"}
            ) from None


def _id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["user_id"])
    except ValueError:
        raise AuthError(404, "user_not_found", "The id must be a UUID") from None


def _number(request: Request, name: str, default: int, high: int) -> int:
    held = request.query_params.get(name, str(default))
    if not held.isascii() or not held.isdigit() or not 1 <= int(held[:9]) <= high:
        raise invalid(f"`{name}` must be a whole number from 1 to {high}")
    return int(held[:9])


def _interval(held: Any) -> str | None:
    """`24h`, `90m` or `30s` as PostgreSQL reads it; `none` ends a ban."""
    if held == "none":
        return None
    found = _DURATION.fullmatch(held) if isinstance(held, str) else None
    if found is None:
        raise invalid("`ban_duration` must be `none` or a duration such as 24h, 90m or 30s")
    return f"{found[1]} {_UNITS[found[2]]}"


def _taken() -> AuthError:
    return AuthError(422, "email_exists", "An account with this address exists already")


def _absent() -> AuthError:
    return AuthError(404, "user_not_found", "There is no account of this id")
