"""The signing keys: one that signs, others that only verify, and what of them is public."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from refstack.common.settings import SettingError

NAME = "GOTRUE_JWT_KEYS"
_ALGORITHMS = {"EC": "ES256", "RSA": "RS256", "oct": "HS256"}
_PUBLIC = {"EC": ("crv", "x", "y"), "RSA": ("n", "e")}
_SHORTEST_SECRET = 32
_SHORTEST_MODULUS = 2048


_Refusal = Callable[[str], SettingError]


class BadToken(Exception):
    """A token that was not signed by a key of ours, has expired, or is meant for others."""


@dataclass(frozen=True)
class _Entry:
    kid: str
    algorithm: str
    key: jwk.Key
    signs: bool


class KeyRing:
    """Signs with the one key marked `sign`; verifies with every key."""

    def __init__(self, entries: list[_Entry], issuer: str, audience: str) -> None:
        self._entries = {entry.kid: entry for entry in entries}
        self._signer = next(entry for entry in entries if entry.signs)
        self._issuer = issuer
        self._audience = audience
        self.jwks = {"keys": [_public(entry) for entry in entries if entry.algorithm != "HS256"]}

    @property
    def signing_kid(self) -> str:
        """The id of the key that signs."""
        return self._signer.kid

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with issuer and audience added to the claims."""
        header = {"alg": self._signer.algorithm, "kid": self._signer.kid, "typ": "JWT"}
        whole = {"iss": self._issuer, "aud": self._audience, **claims}
        return jwt.encode(header, whole, self._signer.key, algorithms=[self._signer.algorithm])

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token of ours; raises BadToken."""
        rules = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            entry = self._entries.get(_kid_of(token))
            if entry is None:
                raise BadToken("it names no key of this service")
            decoded = jwt.decode(token, entry.key, algorithms=[entry.algorithm])
            rules.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            raise BadToken(type(error).__name__) from None
        return dict(decoded.claims)


def _kid_of(token: str) -> str:
    """The key id that the header names; the algorithm is the key's own, whatever it claims."""
    header = token.split(".", 1)[0]
    fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    kid = fields.get("kid") if isinstance(fields, dict) else None
    return kid if isinstance(kid, str) else ""


def _public(entry: _Entry) -> dict[str, Any]:
    fields = entry.key.as_dict(private=False)
    kept = {name: fields[name] for name in ("kty", *_PUBLIC[str(fields["kty"])])}
    return {**kept, "kid": entry.kid, "alg": entry.algorithm, "use": "sig", "key_ops": ["verify"]}


def read_keys(held: str, issuer: str, audience: str) -> KeyRing:
    """The key ring from a JSON array of JWKs; raises SettingError, which shows no key."""

    def refused(why: str) -> SettingError:
        return SettingError(NAME, held, f"a JSON array of JWKs: {why}", secret=True)

    try:
        given = json.loads(held)
    except ValueError:
        raise refused("this is not JSON") from None
    if not isinstance(given, list) or not given or not all(isinstance(k, dict) for k in given):
        raise refused("expected a non-empty array of objects")
    entries = [_entry(one, place, refused) for place, one in enumerate(given)]
    if len({entry.kid for entry in entries}) != len(entries):
        raise refused("each key needs a kid of its own")
    signers = sum(entry.signs for entry in entries)
    if signers != 1:
        raise refused(f'exactly one key must have key_ops ["sign"], {signers} have')
    if any(entry.signs and entry.algorithm == "HS256" for entry in entries):
        raise refused("the key that signs must be EC or RSA, or the JWKS could not verify it")
    return KeyRing(entries, issuer, audience)


def _entry(given: dict[str, Any], place: int, refused: _Refusal) -> _Entry:
    kid = given.get("kid")
    if not isinstance(kid, str) or not kid:
        raise refused(f"key {place} has no kid")
    algorithm = _ALGORITHMS.get(str(given.get("kty")))
    if algorithm is None or given.get("alg", algorithm) != algorithm:
        raise refused(f"key {place} must be EC for ES256, RSA for RS256 or oct for HS256")
    if algorithm == "ES256" and given.get("crv") != "P-256":
        raise refused(f"key {place} must be on the curve P-256")
    operations = given.get("key_ops")
    if not isinstance(operations, list) or not set(operations) <= {"sign", "verify"}:
        raise refused(f'key {place} needs key_ops of "sign" and "verify"')
    signs = "sign" in operations
    # The library holds a key to its key_ops, and the one that signs has to verify, too.
    material = {name: value for name, value in given.items() if name not in ("key_ops", "use")}
    try:
        # Weak keys are refused below, in one line; the library would warn in more.
        with warnings.catch_warnings(action="ignore"):
            key = jwk.import_key(material)
    except (JoseError, ValueError, TypeError, KeyError):
        raise refused(f"key {place} cannot be read") from None
    if signs and not key.is_private:
        raise refused(f"key {place} is to sign but holds no private part")
    if isinstance(key, jwk.RSAKey) and key.raw_value.key_size < _SHORTEST_MODULUS:
        raise refused(f"key {place} must have at least {_SHORTEST_MODULUS} bits")
    if isinstance(key, jwk.OctKey) and len(key.raw_value) < _SHORTEST_SECRET:
        raise refused(f"key {place} must hold at least {_SHORTEST_SECRET} bytes")
    return _Entry(kid, algorithm, key, signs)
