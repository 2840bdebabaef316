"""The auth service's signing keys: one that signs, others that are there to verify."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from harness.core.errors import UsageError
from scripts.rotation.files import read_json, write

Key = dict[str, Any]
_TYPES: dict[str, type[ECKey | RSAKey]] = {"EC": ECKey, "RSA": RSAKey}
PROBE_S = 120


class KeySet:
    """A JSON array of JWKs in the order of the file, as GOTRUE_JWT_KEYS holds them.

    Raises:
        UsageError: it is none, or not exactly one key signs.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        kids = [str(key.get("kid") or "") for key in keys]
        signing = [key for key in keys if "sign" in (key.get("key_ops") or ())]
        if len(signing) != 1 or not all(kids) or len(set(kids)) != len(kids):
            raise UsageError(
                "The signing keys are no set that can be rotated.",
                expected='JWKs with a kid of their own, exactly one with key_ops ["sign"]',
                actual=f"{len(keys)} keys, {len(signing)} of which sign",
                next_step="correct JWT_KEYS_FILE; its content is not shown here",
            )
        self.keys = list(keys)
        self.signer = signing[0]

    @classmethod
    def load(cls, path: Path) -> KeySet:
        """Read a file. Raises UsageError."""
        document = read_json(path, "The file of signing keys")
        if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
            raise UsageError(
                "The file of signing keys is none.",
                expected=f"a JSON array of JWKs in {path}",
                actual=type(document).__name__,
            )
        return cls(document)

    def save(self, path: Path) -> None:
        """Write the file, in one step."""
        write(path, json.dumps(self.keys, indent=1) + "\n")

    @property
    def kids(self) -> list[str]:
        return [str(key["kid"]) for key in self.keys]

    def find(self, kid: str) -> Key | None:
        """Return a key by its id."""
        return next((key for key in self.keys if key["kid"] == kid), None)

    def with_key(self, key: Key) -> KeySet:
        """Return the set with one more key that verifies."""
        return KeySet([*self.keys, {**key, "key_ops": ["verify"]}])

    def signing_with(self, kid: str) -> KeySet:
        """Return the set in which this key signs, and every other one verifies."""
        return KeySet(
            [{**k, "key_ops": ["sign" if k["kid"] == kid else "verify"]} for k in self.keys]
        )

    def without(self, kid: str) -> KeySet:
        """Return the set without this key."""
        return KeySet([key for key in self.keys if key["kid"] != kid])


def new_key() -> Key:
    """Return a new private key for ES256 with an id that nobody can guess."""
    key = ECKey.generate_key("P-256", private=True).as_dict(private=True)
    return {**key, "kid": secrets.token_hex(8), "use": "sig", "alg": "ES256", "key_ops": ["verify"]}


def probe(key: Key, issuer: str, audience: str) -> str:
    """Return a token that this key signed and that gives access to nothing: it names no tenant."""
    algorithm = "RS256" if key["kty"] == "RSA" else "ES256"
    material = {name: value for name, value in key.items() if name not in ("key_ops", "use", "alg")}
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": str(uuid.uuid4()),
        "role": "authenticated",
        "iat": now - 5,
        "exp": now + PROBE_S,
        "app_metadata": {},
    }
    header = {"alg": algorithm, "kid": key["kid"], "typ": "JWT"}
    signer = _TYPES[str(key["kty"])].import_key(material)
    return jwt.encode(header, claims, signer, algorithms=[algorithm])
