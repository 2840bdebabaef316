"""playbook/errors: each restart brings back what hangs, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chaos.playbooks import Seen
from chaos.playbooks.errors import ERRORS
from fixtures.faults import Injector
from fixtures.remedy import Remedy, Trouble
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import HttpPeer

LOOK_S = 2.0
"""Seconds after which a part that has not answered a user counts as hung; it takes milliseconds."""

PARTS = {"gateway": ("edge", "/readyz"), "auth": ("auth", "/.well-known/jwks.json")}
"""By the part that hangs: where its users ask, and for what."""


@conformance("playbook/errors", since="0.2", profiles=("full",))
@needs("read", "fault", "restart", roles=["edge", "auth"])
@pytest.mark.parametrize("part", PARTS)
def test_its_restart_brings_a_hung_part_back(
    part: str, remedy: Remedy, stack: Stack, injector: Injector, evidence: Evidence
) -> None:
    """When the gateway or the auth service hangs, its restart MUST make it answer its users again,
    and without it they get no answer."""
    role, path = PARTS[part]
    user = HttpPeer(stack.endpoint(role).url, timeout=LOOK_S)

    def look() -> Seen:
        answer = user.request("GET", path)
        return Seen(answer.status == 200, {"status": answer.status, "error": answer.error})

    @contextmanager
    def begin(arm: str) -> Iterator[None]:
        with injector.inject("pause", role=part, case=evidence.case, arm=arm):
            yield

    trouble = Trouble(what=f"{part} hangs", on=part, begin=begin, look=look)
    remedy.prove(ERRORS, ERRORS.step(f"{part}-restart"), trouble)
    user.close()
