"""Verification of access tokens against the auth service's published keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from refstack.common.logs import get_logger
from refstack.common.problems import Problem
from refstack.gateway.upstream import UpstreamError

ALGORITHMS = {
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "EdDSA",
    ("RSA", None): "RS256",
}
"""The algorithm of a published key that does not name one, by its type and curve."""

ALLOWED = frozenset({*ALGORITHMS.values(), "RS384", "RS512", "PS256", "PS384", "PS512", "Ed25519"})
"""Public-key signatures only: a symmetric key has no place in a published key set."""

REFETCH_EVERY_S = 1.0
"""At most one fetch of the keys in this time, however many unknown key ids come."""

FetchKeys = Callable[[], Awaitable[Any]]
"""Fetches the key set document; raises `UpstreamError`."""


@dataclass(frozen=True)
class Identity:
    """Who is asking, from the verified token alone."""

    subject: str
    tenant_id: str
    personas: tuple[str, ...]

    def claims(self) -> str:
        """The claims that the row-level security policies read, as JSON."""
        metadata = {"tenant_id": self.tenant_id, "personas": self.personas}
        claims = {"sub": self.subject, "role": "authenticated", "app_metadata": metadata}
        return orjson.dumps(claims).decode()


@dataclass(frozen=True)
class _PublicKey:
    key: Key
    algorithm: str


def read_keys(document: Any) -> dict[str, _PublicKey]:
    """The usable keys of a JWKS document by key id; what is unusable is left out.

    Left out are symmetric and unknown types, keys for encryption, keys without an id, and keys
    whose algorithm does not fit their type. Raises ValueError for what is no key set at all.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a key set")
    keys: dict[str, _PublicKey] = {}
    types: dict[str, type[ECKey | RSAKey | OKPKey]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
    for entry in document["keys"]:
        kind = entry.get("kty") if isinstance(entry, dict) else None
        if kind not in types or not isinstance(entry.get("kid"), str) or "d" in entry:
            continue
        if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
            continue
        natural = ALGORITHMS.get((kind, entry.get("crv") if kind != "RSA" else None))
        algorithm = str(entry.get("alg", natural))
        fits = algorithm in ALLOWED and (
            algorithm == natural
            or (kind == "RSA" and algorithm[:2] in ("RS", "PS"))
            or (natural == "EdDSA" and algorithm == "Ed25519")
        )
        if not fits:
            continue
        try:
            keys[entry["kid"]] = _PublicKey(types[kind].import_key(entry), algorithm)
        except (JoseError, ValueError, TypeError):
            continue
    return keys


class KeyCache:
    """The published keys, fetched every `refresh_s` seconds and when an unknown id comes.

    While the auth service is away the keys that were fetched last stay in use. A key that is no
    longer published is refused from the next fetch on.
    """

    def __init__(self, fetch: FetchKeys, refresh_s: float) -> None:
        self._fetch = fetch
        self._refresh_s = refresh_s
        self._keys: dict[str, _PublicKey] = {}
        self._known = False
        self._last_try = float("-inf")
        self._fetching: asyncio.Task[bool] | None = None

    @property
    def known(self) -> bool:
        """Whether a key set has ever been fetched."""
        return self._known

    async def keep_fresh(self) -> None:
        """Fetch again and again, until cancelled."""
        while True:
            fetched = await self.refetch()
            await asyncio.sleep(self._refresh_s if fetched else min(1.0, self._refresh_s))

    async def refetch(self) -> bool:
        """Fetch the keys, together with everyone who waits for that; True if it worked.

        Waits until `REFETCH_EVERY_S` have passed since the last fetch began.
        """
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._refetch())
        return await asyncio.shield(self._fetching)

    async def _refetch(self) -> bool:
        wait = self._last_try + REFETCH_EVERY_S - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        self._last_try = time.monotonic()
        try:
            keys = read_keys(await self._fetch())
        except (UpstreamError, ValueError) as error:
            get_logger().warning("keys_not_fetched", reason=str(error))
            return False
        if not self._known or keys.keys() != self._keys.keys():
            get_logger().info("keys_changed", count=len(keys))
        self._keys, self._known = keys, True
        return True

    async def find(self, kid: str) -> _PublicKey | None:
        """The key with this id, fetched if need be; None if it is not published.

        Raises `Problem` 503 when that cannot be known because the auth service is away.
        """
        # A fetch that was under way already may have begun before the key was published.
        tries = 2 if self._fetching is not None and not self._fetching.done() else 1
        fetched = True
        while kid not in self._keys and fetched and tries:
            fetched = await self.refetch()
            tries -= 1
        if kid not in self._keys and not fetched:
            raise Problem(
                503,
                "The token cannot be verified now: its key is not known here and the auth "
                "service does not answer.",
                kind="auth-unavailable",
                headers={"Retry-After": "2"},
            )
        return self._keys.get(kid)


def unauthorized(detail: str) -> Problem:
    """A 401 that says what is wrong with the credentials."""
    challenge = 'Bearer realm="rag", error="invalid_token"'
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})


class TokenVerifier:
    """Turns the `Authorization` header into an `Identity`, or into a 401, 403 or 503."""

    def __init__(self, keys: KeyCache, *, audience: str, issuer: str) -> None:
        self._keys = keys
        self._registry = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def identify(self, authorization: str | None) -> Identity:
        """Verify the header `Authorization: Bearer <token>`.

        Raises `Problem`: 401 for a missing or unusable token, 403 for one that gives no access
        to a tenant, 503 when the auth service is away and the key is not known.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Problem(
                401,
                "An access token is needed: Authorization: Bearer <token>.",
                headers={"WWW-Authenticate": 'Bearer realm="rag"'},
            )
        return self._identity(await self._verified(token.strip()))

    async def _verified(self, token: str) -> dict[str, Any]:
        header = _header_of(token)
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or not isinstance(algorithm, str) or algorithm not in ALLOWED:
            raise unauthorized("The token is not signed in a way that is accepted here.")
        found = await self._keys.find(kid)
        # The algorithm is the key's, never the token's choice.
        if found is None or found.algorithm != algorithm:
            raise unauthorized("The token is not signed with a key that is accepted here.")
        try:
            claims = jwt.decode(token, found.key, algorithms=[found.algorithm]).claims
            self._registry.validate(claims)
        except ExpiredTokenError:
            raise unauthorized("The token has expired.") from None
        except (JoseError, ValueError, TypeError):
            raise unauthorized("The token is not valid here.") from None
        return claims

    @staticmethod
    def _identity(claims: Mapping[str, Any]) -> Identity:
        metadata = claims.get("app_metadata")
        tenant = metadata.get("tenant_id") if isinstance(metadata, dict) else None
        personas = metadata.get("personas") if isinstance(metadata, dict) else None
        if claims.get("role") != "authenticated" or not _is_name(tenant):
            raise Problem(403, "The token gives no access to a tenant.")
        if not isinstance(personas, list) or not all(_is_name(name) for name in personas):
            raise Problem(403, "The token gives no access to a persona.")
        return Identity(str(claims["sub"]), str(tenant), tuple(personas))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable()


def _header_of(token: str) -> dict[str, Any]:
    try:
        header = orjson.loads(urlsafe_b64decode(token.split(".", 1)[0].encode("ascii")))
    except (ValueError, TypeError):
        header = None
    if not isinstance(header, dict):
        raise unauthorized("The token is not a signed JSON Web Token.")
    return header
