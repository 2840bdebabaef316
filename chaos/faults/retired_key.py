"""Retired key: the key that signed the clients' tokens is no longer one of the auth service's."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
from joserfc.jwk import ECKey

from chaos.faults.base import Proof
from chaos.faults.expired_token import only_auth
from chaos.faults.identity import Accounts, SettingsFault
from harness.drivers.base import Stack

_KEYS = "GOTRUE_JWT_KEYS"
_KEPT: dict[str, str] = {}


@dataclass(frozen=True)
class RetiredKey(SettingsFault):
    """Replaces all signing keys at once: tokens out there are signed by a key that nobody
    publishes any more. (An orderly rotation would keep the old one for verifying.)"""

    role: str = "auth"

    slug: ClassVar[str] = "retired-key"
    sentence: ClassVar[str] = "Tokens in use are signed by a key that is no longer valid."

    def __post_init__(self) -> None:
        super().__post_init__()
        only_auth(self.slug, self.role)

    def before(self, stack: Stack) -> dict[str, Any]:
        """The published key ids, and whether a token of the present key is taken."""
        accounts = Accounts(stack)
        token = accounts.token(*accounts.sign_up())
        # Kept in this process alone: a token is a secret, and orders and histories are files.
        _KEPT[stack.run_id] = token
        status = accounts.accepts(token)
        return super().before(stack) | {"kids": published(stack), "status": status}

    def inject(self, stack: Stack) -> None:
        """Restart the auth service with one new key."""
        key = ECKey.generate_key("P-256", private=True).as_dict(private=True)
        key |= {"kid": secrets.token_hex(8), "use": "sig", "alg": "ES256", "key_ops": ["sign"]}
        self.change(stack, {_KEYS: json.dumps([key])})

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The old key is no longer published, its token is refused, and a new one is taken."""
        accounts = Accounts(stack)
        old = accounts.accepts(_KEPT.get(stack.run_id, ""))
        new = accounts.accepts(accounts.token(*accounts.sign_up()))
        gone = not set(before["kids"]) & set(published(stack))
        ok = gone and before["status"] == 200 and old in (401, 403) and new == 200
        return Proof(ok, {"old key published": not gone, "old token": old, "new token": new})

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The old keys are published again."""
        answers = super().prove_healed(stack, before)
        now = published(stack)
        return Proof(answers.ok and now == before["kids"], {"kids": now, **answers.seen})


def published(stack: Stack) -> list[str]:
    """The ids of the keys that the auth service publishes (RFC 7517)."""
    url = stack.endpoint("auth").url + "/.well-known/jwks.json"
    keys = httpx.get(url, timeout=5.0, trust_env=False).json()["keys"]
    return sorted(str(key["kid"]) for key in keys)
