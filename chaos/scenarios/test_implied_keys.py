"""playbook/implied: a key that others know is worth nothing once it is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos.faults.identity import settings_of
from chaos.playbooks import Seen, restartable
from chaos.playbooks.key_compromised import COMPROMISED, KEY_COMPROMISED, published
from fixtures.onlooker import IN_A_ROW, Onlooker
from fixtures.remedy import Remedy, Trouble
from fixtures.tenants import Connect, Tenant
from fixtures.tokens import Forger
from harness import conformance, needs
from harness.core.errors import NotAllowed, TargetError
from harness.drivers.base import Stack
from harness.drivers.gateway_http import ReferenceGateway

KEYS = "GOTRUE_JWT_KEYS"


class Thief:
    """Somebody who signs tokens of others while they have the key."""

    def __init__(self, victim: ReferenceGateway, forged: ReferenceGateway, stack: Stack) -> None:
        self._victim, self._forged, self._stack = victim, forged, stack
        self.has_key = False

    def look(self) -> Seen:
        """Well while nobody with a forged token gets an answer."""
        if not self.has_key:
            return Seen(True, {"the key is known to": "nobody"})
        status = self._forged.list_documents(limit=1).status
        return Seen(status == 401, {"status for a forged token": status})

    @contextmanager
    def stealing(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Have the key for the length of the block; the target has its old one back afterwards."""
        (kid,) = published(self._stack)
        keys = settings_of(self._stack, "auth")[KEYS]
        monkeypatch.setenv(COMPROMISED, kid)
        self.has_key = True
        try:
            yield
        finally:
            self.has_key = False
            monkeypatch.delenv(COMPROMISED)
            if published(self._stack) != [kid]:
                restartable(self._stack, "auth").restart("auth", {KEYS: keys})
                self._stack.ready("auth")
            self._wait_for_the_honest()

    def _wait_for_the_honest(self) -> None:
        """The gateway fetches the keys now and then: whoever comes next must find them there."""
        honest = Onlooker(lambda: Seen(self._victim.list_documents(limit=1).status == 200))
        honest.start()
        try:
            if honest.wait_until(True) is None:
                raise TargetError(
                    "Honest tokens are still refused, with the former key back in force.",
                    expected=f"200 at {IN_A_ROW} looks in a row",
                    actual="401",
                )
        finally:
            honest.stop()


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "restart", roles=["edge", "auth"])
@pytest.mark.timeout(600)
def test_replacing_a_known_key_makes_forged_tokens_worthless(
    remedy: Remedy,
    stack: Stack,
    forger: Forger,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When somebody else has the signing key, its replacement MUST end what tokens signed with it
    can do, and without it they go on working."""
    if forger.signing_key is None:
        raise NotAllowed(
            "Nobody can be played who has the signing key.",
            expected="jwt_keys among the credentials of auth",
            actual="none",
        )
    tenant = new_tenant("victim", ("work",))
    forged = connect(forger.narrowed(tenant, ("work",)))
    thief = Thief(connect(tenant.token), forged, stack)
    trouble = Trouble(
        what="the signing key is known",
        on="auth",
        begin=lambda _arm: thief.stealing(monkeypatch),
        staged={},
        look=thief.look,
    )
    remedy.prove(KEY_COMPROMISED, KEY_COMPROMISED.step("replace-signing-key"), trouble)
