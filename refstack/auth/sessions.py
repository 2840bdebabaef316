"""Signing in, refreshing, and reading one's own account."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refstack.auth.bodies import email_of, read_fields, user_body
from refstack.auth.errors import AuthError, invalid
from refstack.auth.keys import BadToken
from refstack.auth.limiter import Limiter
from refstack.auth.passwords import LONGEST, Busy, Passwords
from refstack.auth.reloading import FollowedKeys
from refstack.auth.store import Grant, Reused, Store, User
from refstack.common.responses import JsonResponse


class Sessions:
    """`POST /token` and `GET /user`."""

    def __init__(
        self,
        store: Store,
        keys: FollowedKeys,
        passwords: Passwords,
        limiter: Limiter,
        lifetime_s: int,
    ) -> None:
        self._store = store
        self._keys = keys
        self._passwords = passwords
        self._limiter = limiter
        self._lifetime = lifetime_s

    def routes(self) -> list[Route]:
        """The routes of this part."""
        return [
            Route("/token", self.token, methods=["POST"]),
            Route("/user", self.user, methods=["GET"]),
        ]

    async def token(self, request: Request) -> Response:
        """`POST /token?grant_type=password` or `refresh_token`."""
        match request.query_params.get("grant_type"):
            case "password":
                grant = await self._by_password(request)
            case "refresh_token":
                grant = await self._by_refresh_token(request)
            case _:
                raise AuthError(
                    400, "invalid_credentials", "grant_type must be password or refresh_token"
                )
        return self._respond(grant)

    async def _by_password(self, request: Request) -> Grant:
        fields = await read_fields(request, ("email", "password", "gotrue_meta_security"))
        email = email_of(fields)
        password = fields.get("password")
        if not isinstance(password, str) or not 1 <= len(password) <= LONGEST:
            raise invalid(f"`password` must be a text of 1 to {LONGEST} characters")
        client = request.client.host if request.client else ""
        attempt = f"{client} {email}"
        wait_s = self._limiter.begin(attempt)
        if wait_s:
            raise AuthError(
                429,
                "over_request_rate_limit",
                "Too many failed attempts; wait before the next one",
                {"Retry-After": str(wait_s)},
            )
        user = await self._store.by_email(email)
        try:
            matches = await self._passwords.matches(
                password, user.encrypted_password if user else None
            )
        except Busy:
            raise AuthError(
                429, "over_request_rate_limit", "Too many sign-ins at once", {"Retry-After": "1"}
            ) from None
        if user is None or not matches:
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        self._limiter.succeeded(attempt)
        _refuse_banned(user)
        grant = await self._store.sign_in(user.id)
        if grant is None:
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        return grant

    async def _by_refresh_token(self, request: Request) -> Grant:
        fields = await read_fields(request, ("refresh_token",))
        token = fields.get("refresh_token")
        if not isinstance(token, str) or not 1 <= len(token) <= 256:
            raise invalid("`refresh_token` must be a text")
        try:
            grant = await self._store.refresh(token)
        except Reused:
            raise AuthError(
                400, "refresh_token_already_used", "Invalid Refresh Token: Already Used"
            ) from None
        if grant is None:
            raise AuthError(
                400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
            )
        _refuse_banned(grant.user)
        return grant

    def _respond(self, grant: Grant) -> Response:
        now = int(time.time())
        claims: dict[str, Any] = {
            "sub": str(grant.user.id),
            "iat": now,
            "exp": now + self._lifetime,
            "role": grant.user.role,
            "email": grant.user.email,
            "session_id": str(grant.session_id),
            "app_metadata": grant.user.raw_app_meta_data,
        }
        return JsonResponse(
            {
                "access_token": self._keys.sign(claims),
                "token_type": "bearer",
                "expires_in": self._lifetime,
                "expires_at": now + self._lifetime,
                "refresh_token": grant.refresh_token,
                "user": user_body(grant.user),
            },
            headers={"Cache-Control": "no-store"},
        )

    async def user(self, request: Request) -> Response:
        """`GET /user`: the account of the token's bearer, while its session is open."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AuthError(401, "no_authorization", "This endpoint requires a Bearer token")
        try:
            claims = self._keys.verify(token.strip())
            user_id, session_id = UUID(claims["sub"]), UUID(claims["session_id"])
        except (BadToken, KeyError, ValueError, AttributeError):
            raise AuthError(403, "bad_jwt", "The token is not valid") from None
        user = await self._store.by_id(user_id)
        if user is None:
            raise AuthError(403, "user_not_found", "The account of the token does not exist")
        if not await self._store.has_session(session_id, user_id):
            raise AuthError(403, "session_not_found", "The session of the token has ended")
        _refuse_banned(user)
        return JsonResponse(user_body(user), headers={"Cache-Control": "no-store"})


def _refuse_banned(user: User) -> None:
    if user.banned:
        raise AuthError(400, "user_banned", "The account is banned")
