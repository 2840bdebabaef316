"""Expired token: what the auth service issues is out of date almost at once."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.identity import Accounts, SettingsFault
from harness.core.errors import UsageError
from harness.drivers.base import Stack

_TRIES = 5


@dataclass(frozen=True)
class ExpiredToken(SettingsFault):
    """Lets new tokens live only ``life_s`` seconds: clients that do not renew them are refused."""

    role: str = "auth"
    life_s: int = 3

    slug: ClassVar[str] = "expired-token"
    sentence: ClassVar[str] = "New access tokens are out of date a few seconds later."

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "life_s", self.life_s, 2, 300, "s")
        only_auth(self.slug, self.role)

    def before(self, stack: Stack) -> dict[str, Any]:
        """How long a fresh token says that it lives, and whether it is taken."""
        accounts = Accounts(stack)
        token = accounts.token(*accounts.sign_up())
        seen = {"life_s": life_of(token), "status": accounts.accepts(token)}
        return super().before(stack) | seen

    def inject(self, stack: Stack) -> None:
        """Restart the auth service with the short life."""
        self.change(stack, {"GOTRUE_JWT_EXP": str(self.life_s)})

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A fresh token is taken, and refused once its life is over."""
        accounts = Accounts(stack)
        user = accounts.sign_up()
        token, first = "", 0
        # On a busy machine a short life may be over before the token was first shown.
        for _ in range(_TRIES):
            token = accounts.token(*user)
            first = accounts.accepts(token)
            if first == 200:
                break
        life, now = life_of(token), first
        deadline = time.monotonic() + self.life_s + 2
        while now == 200 and life == self.life_s and time.monotonic() < deadline:
            time.sleep(0.2)
            now = accounts.accepts(token)
        ok = first == 200 and now in (401, 403) and before["life_s"] > life == self.life_s
        return Proof(ok, {"before": before, "life_s": life, "fresh": first, "later": now})

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A fresh token lives as long as before, and is taken."""
        answers = super().prove_healed(stack, before)
        now = self.before(stack)
        ok = answers.ok and now["life_s"] == before["life_s"] and now["status"] == 200
        return Proof(ok, now)


def life_of(token: str) -> int:
    """Seconds between ``iat`` and ``exp`` of a token (RFC 7519)."""
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return int(claims["exp"]) - int(claims["iat"])


def only_auth(slug: str, role: str) -> None:
    """Refuse another role than the one that issues tokens; raises UsageError."""
    if role != "auth":
        raise UsageError(
            f"The fault {slug!r} hits the service that issues tokens.",
            expected="auth",
            actual=repr(role),
        )
