"""Access tokens: what is accepted, what is refused, and how the keys are kept."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from refstack.common.problems import Problem
from refstack.gateway import tokens
from refstack.gateway.tokens import Identity, KeyCache, TokenVerifier, read_keys
from refstack.gateway.upstream import UpstreamError

EC = ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256"})
EC_ALIKE = ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed", "alg": "EdDSA"})
OCT = OctKey.generate_key(256, {"kid": "oct", "alg": "HS256"})
PUBLISHED = {"keys": [key.as_dict(private=False) for key in (EC, RSA, ED)]}

CLAIMS: dict[str, Any] = {
    "iss": "http://auth.test",
    "aud": "authenticated",
    "sub": "user-1",
    "role": "authenticated",
    "app_metadata": {"tenant_id": "t1", "personas": ["work", "home"]},
}


def signed(key: Key = EC, algorithm: str = "ES256", kid: str | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": algorithm, "kid": kid or key.kid}
    return jwt.encode(header, claims, key, algorithms=[algorithm])


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(**header: Any) -> str:
    claims = {**CLAIMS, "exp": int(time.time()) + 60}
    return f"{part({'alg': 'none', 'kid': 'ec', **header})}.{part(claims)}."


def public_key_as_secret() -> str:
    """The classic confusion: HS256 with the published key's text as the shared secret."""
    claims = {**CLAIMS, "exp": int(time.time()) + 60}
    message = f"{part({'alg': 'HS256', 'kid': 'ec'})}.{part(claims)}"
    mac = hmac.digest(EC.as_pem(private=False), message.encode(), "sha256")
    return f"{message}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def tampered() -> str:
    header, _, signature = signed().split(".")
    claims = {**CLAIMS, "exp": int(time.time()) + 60}
    claims["app_metadata"] = {"tenant_id": "t2", "personas": ["work"]}
    return f"{header}.{part(claims)}.{signature}"


def identify(authorization: str | None, published: Any = PUBLISHED) -> Identity:
    async def fetch() -> Any:
        return published

    async def once() -> Identity:
        cache = KeyCache(fetch, 60)
        assert await cache.refetch()
        verifier = TokenVerifier(cache, audience="authenticated", issuer="http://auth.test")
        return await verifier.identify(authorization)

    return asyncio.run(once())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REFETCH_EVERY_S", 0.0)


@pytest.mark.parametrize(
    "token",
    [
        lambda: signed(),
        lambda: signed(RSA, "RS256"),
        lambda: signed(ED, "EdDSA"),
        lambda: signed(aud=["other", "authenticated"]),
    ],
)
def test_a_good_token_gives_tenant_and_personas(token: Callable[[], str]) -> None:
    assert identify(f"Bearer {token()}") == Identity("user-1", "t1", ("work", "home"))


@pytest.mark.parametrize(
    "authorization",
    [
        lambda: None,
        lambda: "",
        lambda: "Bearer ",
        lambda: f"Basic {signed()}",
        lambda: signed(),
        lambda: "Bearer not-a-token",
        lambda: "Bearer é.b.c",
        lambda: f"Bearer {part([1])}.{part({})}.x",
        lambda: f"Bearer {unsigned()}",
        lambda: f"Bearer {unsigned(alg='None')}",
        lambda: f"Bearer {unsigned(alg='ES256')}",
        lambda: f"Bearer {unsigned(alg=['ES256'])}",
        lambda: f"Bearer {public_key_as_secret()}",
        lambda: f"Bearer {signed(OCT, 'HS256')}",
        lambda: f"Bearer {signed(EC_ALIKE)}",
        lambda: f"Bearer {signed(EC, kid='unknown')}",
        lambda: f"Bearer {signed(RSA, 'RS256', kid='ec')}",
        lambda: f"Bearer {signed(RSA, 'PS256')}",
        lambda: f"Bearer {tampered()}",
        lambda: f"Bearer {signed()}x.y",
        lambda: f"Bearer {signed(exp=int(time.time()) - 1)}",
        lambda: f"Bearer {signed(exp=None)}",
        lambda: f"Bearer {signed(exp='never')}",
        lambda: f"Bearer {signed(nbf=int(time.time()) + 60)}",
        lambda: f"Bearer {signed(iat=int(time.time()) + 60)}",
        lambda: f"Bearer {signed(aud='anon')}",
        lambda: f"Bearer {signed(aud=None)}",
        lambda: f"Bearer {signed(iss='http://evil.test')}",
        lambda: f"Bearer {signed(iss=None)}",
        lambda: f"Bearer {signed(sub=None)}",
    ],
)
def test_a_bad_token_is_401_with_a_challenge(authorization: Callable[[], str | None]) -> None:
    with pytest.raises(Problem) as refusal:
        identify(authorization())
    assert refusal.value.status == 401
    assert refusal.value.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "service_role"},
        {"role": None},
        {"app_metadata": None},
        {"app_metadata": {"personas": ["work"]}},
        {"app_metadata": {"tenant_id": "", "personas": ["work"]}},
        {"app_metadata": {"tenant_id": ["t1"], "personas": ["work"]}},
        {"app_metadata": {"tenant_id": "t1\x00", "personas": ["work"]}},
        {"app_metadata": {"tenant_id": "t1", "personas": "work"}},
        {"app_metadata": {"tenant_id": "t1", "personas": [1]}},
        {"app_metadata": None, "user_metadata": {"tenant_id": "t1", "personas": ["work"]}},
    ],
)
def test_a_valid_token_without_a_tenant_is_403(changes: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refusal:
        identify(f"Bearer {signed(**changes)}")
    assert refusal.value.status == 403


def test_only_public_signing_keys_with_a_fitting_algorithm_are_taken_over() -> None:
    public = EC.as_dict(private=False)
    strange = [
        OCT.as_dict(),
        {**EC.as_dict(private=True), "kid": "private"},
        {**public, "kid": "enc", "use": "enc"},
        {**public, "kid": "ops", "key_ops": ["encrypt"]},
        {**public, "kid": "hs", "alg": "HS256"},
        {**public, "kid": "none", "alg": "none"},
        {**public, "kid": "rs", "alg": "RS256"},
        {**public, "kid": "bad-point", "x": "AAAA"},
        {key: value for key, value in public.items() if key != "kid"},
        "x",
    ]
    assert set(read_keys({"keys": [*strange, public]})) == {"ec"}
    for no_set in (None, [], {}, {"keys": {}}):
        with pytest.raises(ValueError, match="not a key set"):
            read_keys(no_set)


class Auth:
    """A key server that counts and can be away."""

    def __init__(self) -> None:
        self.published: list[Key] = [EC]
        self.away = False
        self.fetched = 0

    async def fetch(self) -> Any:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.away:
            raise UpstreamError("auth", "connect")
        return {"keys": [key.as_dict(private=False) for key in self.published]}


def with_cache(work: Callable[[Auth, KeyCache], Awaitable[None]]) -> None:
    async def once() -> None:
        auth = Auth()
        cache = KeyCache(auth.fetch, 60)
        await cache.refetch()
        await work(auth, cache)

    asyncio.run(asyncio.wait_for(once(), 10))


def test_a_new_key_is_fetched_once_for_all_who_ask() -> None:
    async def work(auth: Auth, cache: KeyCache) -> None:
        auth.published = [EC, ED]
        found = await asyncio.gather(*(cache.find("ed") for _ in range(20)))
        assert all(found)
        assert auth.fetched <= 3

    with_cache(work)


def test_unknown_key_ids_do_not_cause_more_than_a_fetch_in_each_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(auth: Auth, cache: KeyCache) -> None:
        monkeypatch.setattr(tokens, "REFETCH_EVERY_S", 0.2)
        begun = time.monotonic()
        for n in range(3):
            await asyncio.gather(*(cache.find(f"{n}-{each}") for each in range(50)))
        intervals = (time.monotonic() - begun) / 0.2
        assert auth.fetched - 1 <= intervals + 1

    with_cache(work)


def test_known_keys_stay_in_use_while_auth_is_away_and_unknown_ones_are_503() -> None:
    async def work(auth: Auth, cache: KeyCache) -> None:
        auth.away = True
        assert not await cache.refetch()
        assert await cache.find("ec")
        with pytest.raises(Problem) as refusal:
            await cache.find("ed")
        assert refusal.value.status == 503
        assert refusal.value.headers["Retry-After"]

    with_cache(work)


def test_a_withdrawn_key_is_refused_after_the_next_fetch() -> None:
    async def work(auth: Auth, cache: KeyCache) -> None:
        auth.published = [ED]
        await cache.refetch()
        assert await cache.find("ec") is None

    with_cache(work)
