"""Signing keys: what is published, what verifies, and how a rotation goes."""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from uuid import uuid4

import pytest
from auth_lab import ISSUER, Auth, Start, private
from joserfc import jwk, jwt

from refstack.auth.keys import BadToken, KeyRing, read_keys
from refstack.common.settings import SettingError

OLD = jwk.ECKey.generate_key("P-256")
NEW = jwk.ECKey.generate_key("P-256")
RSA = jwk.RSAKey.generate_key(2048)
SECRET = jwk.OctKey.generate_key(256)


def _ring(
    *keys: dict[str, object], issuer: str = ISSUER, audience: str = "authenticated"
) -> KeyRing:
    return read_keys(json.dumps(keys), issuer, audience)


def _claims(**changed: object) -> dict[str, object]:
    return {"sub": str(uuid4()), "iat": 1, "exp": 4_000_000_000, **changed}


def test_a_rotation_keeps_old_sessions_alive(start: Start) -> None:
    before = start([private(OLD, "old", "sign")])
    email = f"{uuid4().hex}@example.org"
    before.admin("POST", "/admin/users", {"email": email, "password": "correct horse"})
    old_token = before.sign_in(email).json()["access_token"]
    after = start([private(NEW, "new", "sign"), private(OLD, "old", "verify")])
    assert after.get("/user", old_token).status_code == 200
    new_token = after.sign_in(email).json()["access_token"]
    assert jwt.decode(new_token, NEW, algorithms=["ES256"]).header["kid"] == "new"
    dropped = start([private(NEW, "new", "sign")])
    assert dropped.get("/user", old_token).json()["error_code"] == "bad_jwt"
    assert dropped.get("/user", new_token).status_code == 200


def test_the_jwks_holds_every_public_key_and_nothing_private(auth: Auth) -> None:
    ring = _ring(
        private(NEW, "new", "sign", "verify"),
        private(OLD, "old", "verify"),
        private(RSA, "rsa", "verify"),
        private(SECRET, "hmac", "verify"),
    )
    keys = ring.jwks["keys"]
    assert [key["kid"] for key in keys] == ["new", "old", "rsa"]
    assert [key["alg"] for key in keys] == ["ES256", "ES256", "RS256"]
    assert all(not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key) for key in keys)
    published = auth.get("/.well-known/jwks.json")
    assert published.headers["Cache-Control"] == "public, max-age=600"
    assert [key["kid"] for key in published.json()["keys"]] == ["first"]


def test_a_client_verifies_with_the_published_keys_alone() -> None:
    ring = _ring(private(RSA, "rsa", "sign"), private(OLD, "old", "verify"))
    published = jwk.KeySet.import_key_set(ring.jwks)  # type: ignore[arg-type]
    token = jwt.decode(ring.sign(_claims()), published, algorithms=["ES256", "RS256"])
    assert token.header == {"alg": "RS256", "kid": "rsa", "typ": "JWT"}


def test_a_token_signed_with_the_shared_secret_of_old_is_still_read() -> None:
    ring = _ring(private(NEW, "new", "sign"), private(SECRET, "hmac", "verify"))
    claims = _claims(iss=ISSUER, aud="authenticated")
    token = jwt.encode({"alg": "HS256", "kid": "hmac"}, claims, SECRET, algorithms=["HS256"])
    assert ring.verify(token)["sub"] == claims["sub"]


def _base64(part: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


def test_a_public_key_cannot_be_used_as_a_shared_secret() -> None:
    ring = _ring(private(NEW, "new", "sign"))
    claims = _claims(iss=ISSUER, aud="authenticated")
    signed = b".".join(_base64(one) for one in ({"alg": "HS256", "kid": "new"}, claims))
    mac = hmac.digest(NEW.as_pem(private=False), signed, "sha256")
    token = (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()
    with pytest.raises(BadToken):
        ring.verify(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "e30.e30.",
        "bnVsbA.e30.e30",
        _ring(private(OLD, "new", "sign")).sign(_claims()),
        _ring(private(NEW, "new", "sign")).sign(_claims(exp=1)),
        _ring(private(NEW, "new", "sign"), issuer="http://else.test").sign(_claims()),
        _ring(private(NEW, "new", "sign"), audience="anon").sign(_claims()),
        _ring(private(NEW, "else", "sign")).sign(_claims()),
    ],
    ids=["empty", "noise", "no kid", "null", "forged", "expired", "issuer", "audience", "kid"],
)
def test_a_token_that_is_not_good_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        _ring(private(NEW, "new", "sign")).verify(token)


with warnings.catch_warnings(action="ignore"):
    SHORT_SECRET = jwk.OctKey.generate_key(64)
    SHORT_RSA = jwk.RSAKey.generate_key(1024)
PUBLIC = {**NEW.as_dict(private=False), "kid": "new", "key_ops": ["sign"]}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("no json", "not JSON"),
        ("[]", "non-empty"),
        ([private(OLD, "old", "verify")], "exactly one key"),
        ([private(OLD, "a", "sign"), private(NEW, "b", "sign")], "exactly one key"),
        ([private(OLD, "a", "sign"), private(NEW, "a", "verify")], "kid of its own"),
        ([private(SECRET, "hmac", "sign")], "must be EC or RSA"),
        ([PUBLIC], "no private part"),
        ([{**PUBLIC, "kid": ""}], "no kid"),
        ([{**PUBLIC, "key_ops": ["encrypt"]}], "key_ops"),
        ([{**PUBLIC, "x": "AA"}], "cannot be read"),
        ([{**PUBLIC, "crv": "P-384"}], "P-256"),
        ([private(SHORT_SECRET, "hmac", "verify")], "at least 32 bytes"),
        ([private(SHORT_RSA, "rsa", "sign")], "at least 2048 bits"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_being_shown(
    keys: object, reason: str
) -> None:
    held = keys if isinstance(keys, str) else json.dumps(keys)
    with pytest.raises(SettingError, match=reason) as refused:
        read_keys(held, ISSUER, "authenticated")
    assert NEW.as_dict(private=True)["d"] not in str(refused.value)
    assert "GOTRUE_JWT_KEYS" in str(refused.value)
