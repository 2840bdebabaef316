"""Rotated credential: a role has a new key, and one of its clients has not got it yet."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from chaos.faults.base import Proof
from chaos.faults.identity import SettingsFault, settings_of
from harness.core.errors import UsageError
from harness.drivers.base import Stack

_KEYS = {
    # Role: its setting, the header it is sent in, what is asked for to try it.
    "vectordb": ("QDRANT__SERVICE__API_KEY", "api-key", "GET", "/collections"),
    "embed": ("EMBED_API_KEYS", "Authorization", "GET", "/v1/models"),
    "fallback": ("EMBED_API_KEYS", "Authorization", "GET", "/v1/models"),
    "rerank": ("RERANK_API_KEYS", "Authorization", "POST", "/rerank"),
}


@dataclass(frozen=True)
class RotatedCredential(SettingsFault):
    """Gives the role another key; its clients go on with the old one and are refused."""

    slug: ClassVar[str] = "rotated-credential"
    sentence: ClassVar[str] = "A role's key was changed, and its clients still use the old one."

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.role not in _KEYS:
            raise UsageError(
                f"The fault {self.slug!r} hits a role with one key.",
                expected=", ".join(sorted(_KEYS)),
                actual=repr(self.role),
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """What the role answers to the key that its clients have."""
        return super().before(stack) | {"status": self._status(stack, self._key(stack))}

    def inject(self, stack: Stack) -> None:
        """Restart with a random key in place of the old one."""
        self.change(stack, {_KEYS[self.role][0]: secrets.token_hex(20)})

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The clients' key is refused where it was taken before, and the new one is taken."""
        kept = self.notes(stack).read()
        if kept is None:
            return Proof(False, {"seen": "not injected"})
        old = self._status(stack, kept["settings"][_KEYS[self.role][0]])
        new = self._status(stack, self._key(stack))
        ok = before["status"] < 400 and old in (401, 403) and new < 400
        return Proof(ok, {"before": before["status"], "old key": old, "new key": new})

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The clients' key is taken again."""
        answers = super().prove_healed(stack, before)
        now = self._status(stack, self._key(stack))
        return Proof(answers.ok and now < 400, {"status": now, **answers.seen})

    def _key(self, stack: Stack) -> str:
        return settings_of(stack, self.role).get(_KEYS[self.role][0], "")

    def _status(self, stack: Stack, key: str) -> int:
        _, header, method, path = _KEYS[self.role]
        first = key.split(",")[0]
        answer = httpx.request(
            method,
            stack.endpoint(self.role).url + path,
            headers={header: f"Bearer {first}" if header == "Authorization" else first},
            json={"query": "a", "texts": ["a"]} if method == "POST" else None,
            timeout=10.0,
            trust_env=False,
        )
        return answer.status_code
