"""Who may do what: static keys, and tokens signed with them (HS256) when these are switched on.

What a route asks for: `r` reads points, `rw` writes them, `rx` and `rwx` do the same to what lies
around them (indexes, snapshots), `g` reads about the whole server, `m` manages it. A token may name
collections one by one, each with `r`, `rw` or `prw` (points only); then it has no global rights.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from refstack.vectordb.errors import ApiError
from refstack.vectordb.settings import Settings

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/livez"})
NO_KEY = "Must provide an API key or an Authorization bearer token"
BAD_KEY = "Invalid API key or JWT"
LEEWAY_S = 30


class Refused(Exception):
    """A request without valid credentials: a plain-text answer with `status`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Access:
    """Rights of one request: `everywhere` is `r` or `m`, or None with rights by collection."""

    everywhere: str | None = "m"
    collections: dict[str, str] | None = None

    def check(self, level: str, collection: str | None) -> None:
        """Raise `ApiError` 403 unless `level` is held, for a collection or for the server."""
        if self.everywhere is not None:
            if self.everywhere == "r" and level not in ("r", "rx", "g"):
                raise ApiError(403, "Forbidden: Global manage access is required")
            return
        if level in ("g", "m") or collection is None:
            raise ApiError(403, "Forbidden: Global access is required")
        held = (self.collections or {}).get(collection)
        if held is None:
            raise ApiError(403, f"Forbidden: Access to collection {collection} is required")
        if "x" in level and held == "prw":
            raise ApiError(
                403, f"Forbidden: Only points access is allowed for collection {collection}"
            )
        if "w" in level and held == "r":
            raise ApiError(403, f"Forbidden: Write access to collection {collection} is required")

    def may_see(self, name: str) -> bool:
        """Whether a collection shows in a listing."""
        return self.everywhere is not None or name in (self.collections or {})


FULL = Access()
READ_ONLY = Access(everywhere="r")
ValueExists = Callable[[str, list[dict[str, Any]]], Awaitable[bool]]


def _same(given: str, key: str | None) -> bool:
    return key is not None and hmac.compare_digest(given.encode(), key.encode())


class Authenticator:
    """Turns the credentials of a request into `Access`."""

    def __init__(self, settings: Settings, value_exists: ValueExists) -> None:
        self._settings = settings
        self._value_exists = value_exists

    async def access(self, path: str, headers: dict[bytes, bytes]) -> Access:
        """The rights of a request. Raises `Refused`."""
        settings = self._settings
        if not settings.protected or path in OPEN_PATHS:
            return FULL
        given = headers.get(b"api-key", b"").decode("latin-1")
        if not given:
            scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            given = token.strip() if scheme.lower() == "bearer" else ""
        if not given:
            raise Refused(401, NO_KEY)
        if _same(given, settings.api_key) or _same(given, settings.alt_api_key):
            return FULL
        if _same(given, settings.read_only_api_key):
            return READ_ONLY
        if settings.jwt_rbac and given.count(".") == 2:
            return await self._token(given)
        raise Refused(401, BAD_KEY)

    async def _token(self, token: str) -> Access:
        claims = None
        for key in (self._settings.api_key, self._settings.alt_api_key):
            if key is not None and claims is None:
                claims = _verified(token, key)
        if claims is None:
            raise Refused(403, "Invalid JWT: signature or format is not valid")
        expiry = claims.get("exp")
        if expiry is not None and not isinstance(expiry, int | float):
            raise Refused(403, "Invalid JWT: exp is not a number")
        if expiry is not None and expiry + LEEWAY_S < time.time():
            raise Refused(403, "Invalid JWT: it has expired")
        access = _read_access(claims.get("access", "m"))
        condition = claims.get("value_exists")
        if condition is not None and not await self._fulfilled(condition):
            raise Refused(401, "Invalid JWT: the value it depends on does not exist")
        return access

    async def _fulfilled(self, condition: Any) -> bool:
        try:
            collection, matches = condition["collection"], condition["matches"]
            must = [{"key": m["key"], "match": {"value": m["value"]}} for m in matches]
        except (TypeError, KeyError):
            raise Refused(403, "Invalid JWT: value_exists is malformed") from None
        try:
            return await self._value_exists(collection, must)
        except ApiError as error:
            raise Refused(403, error.message) from None


def _verified(token: str, key: str) -> dict[str, Any] | None:
    """The claims of a token signed with `key` by HS256, else None."""
    # Here and not above: it costs 20 MB that a server without tokens need not hold.
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import OctKey

    try:
        return dict(jwt.decode(token, OctKey.import_key(key), algorithms=["HS256"]).claims)
    except (JoseError, ValueError):
        return None


def _read_access(claim: Any) -> Access:
    if claim in ("r", "m"):
        return Access(everywhere=claim)
    collections: dict[str, str] = {}
    malformed = Refused(403, "Invalid JWT: access is malformed")
    if not isinstance(claim, list):
        raise malformed
    for item in claim:
        if not isinstance(item, dict) or item.get("access") not in ("r", "rw", "prw"):
            raise malformed
        if item.get("payload") is not None:
            raise Refused(401, "Invalid JWT: the `payload` claim is no longer supported")
        if not isinstance(item.get("collection"), str):
            raise malformed
        collections[item["collection"]] = item["access"]
    return Access(everywhere=None, collections=collections)
