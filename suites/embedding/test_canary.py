"""embed/canary-share: a canary gets the share of the queries that was asked for, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from chaos.playbooks import replaceable
from fixtures.promotion import SpacesOf
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.result import CheckResult
from harness.checks.sequential import sequential
from harness.checks.shares import binomial_share_verdict
from harness.core.evidence import Evidence
from harness.drivers.gateway_http import Answer, GatewayClient

HEADER = "X-Embed-Canary"
DEFAULT_SHARE = 0.10
"""Guide, section 6.3: `CANARY=1` is 10 % of the traffic."""

TOLERANCE = 0.05
ROUND, ROUNDS = 600, 4
"""The first look tells at most times; one that does not is no verdict, and more are asked."""

ASKERS = 4
FEW = 40
PATIENCE_S = 30.0
QUESTION = "When is the lamp lit?"

NewTenant = Callable[..., Tenant]


@dataclass(frozen=True)
class Seen:
    """Of one answer: whether it carries the canary's header, and which model it names."""

    marked: bool
    model: str


class Crowd:
    """Clients of one tenant, who all ask the same question."""

    def __init__(self, clients: list[GatewayClient]) -> None:
        self._clients = clients
        self.seen: list[Seen] = []

    def ask(self, number: int, headers: Mapping[str, str] | None = None) -> list[Seen]:
        """Ask so many times, spread over the clients."""
        share = number // len(self._clients)

        def several(client: GatewayClient) -> list[Seen]:
            return [_seen(_patiently(client, headers)) for _ in range(share)]

        with ThreadPoolExecutor(len(self._clients)) as pool:
            found = [each for part in pool.map(several, self._clients) for each in part]
        self.seen += found
        return found


def _patiently(client: GatewayClient, headers: Mapping[str, str] | None) -> Answer:
    """A gateway that says "not now" is asked again: it drew nothing for that query."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        answer = client.query(QUESTION, "work", rerank=False, headers=headers)
        if answer.status not in (0, 503) or time.monotonic() > give_up:
            return answer.expect(200)
        time.sleep(0.2)


def _seen(answer: Answer) -> Seen:
    return Seen(answer.headers.get(HEADER) == "1", str(answer.json["embed_model"]))


@pytest.fixture
def crowd(spaces_of: SpacesOf, new_tenant: NewTenant, connect: Connect) -> Crowd:
    """A tenant with one document."""
    tenant = new_tenant("crowd", ("work",))
    written = connect(tenant.token).put_document("work", "The lamp is lit.", document_id="lamp")
    written.expect(201)
    return Crowd([connect(tenant.token) for _ in range(ASKERS)])


def make_canary(spaces_of: SpacesOf, share: float | None) -> None:
    """Have the other model be a canary with this share, ``None`` leaves it to the gateway; the
    fixture takes it back."""
    settings = {
        "CANARY": "1",
        "GATEWAY_EMBED_MODEL": spaces_of.other,
        "GATEWAY_EMBED_STABLE_MODEL": spaces_of.stable,
        "GATEWAY_CANARY_SHARE": "" if share is None else str(share),
    }
    replaceable(spaces_of.stack).replace("gateway", settings)


def require_marked(found: list[Seen], model: str, evidence: Evidence, what: str) -> None:
    """Every answer of the canary carries its header, and no other does.

    Raises:
        NotConformant: one does not.
    """
    wrong = [each for each in found if each.marked != (each.model == model)]
    evidence.require(
        f"{what}: the header {HEADER} stands on every answer of the canary and on no other",
        not wrong,
        expected=f"{HEADER}: 1 if and only if embed_model is {model}",
        actual=f"{len(wrong)} of {len(found)} otherwise, as {wrong[0]}" if wrong else "as expected",
    )


@conformance("embed/canary-share", since="0.2")
@needs("read", "write", "restart", roles=["gateway", "edge", "vectordb"], features=["native-api"])
def test_a_tenth_of_the_queries_goes_to_the_canary_and_says_so(
    spaces_of: SpacesOf, crowd: Crowd, evidence: Evidence
) -> None:
    """With CANARY=1 and no share named, 10 % of the queries MUST be answered by the canary, with
    confidence, each marked by its header and no other; who asks for it by the header gets it."""
    make_canary(spaces_of, None)
    asked = crowd.ask(FEW, {HEADER: "1"})
    require_marked(asked, spaces_of.other, evidence, "asked for by the header")
    evidence.require(
        "whoever asks for the canary by its header gets it",
        all(each.marked for each in asked),
        expected=f"{len(asked)} of {len(asked)}",
        actual=sum(each.marked for each in asked),
    )

    def draw(_round: int) -> NDArray[np.float64]:
        found = crowd.ask(ROUND)
        require_marked(found, spaces_of.other, evidence, "drawn")
        return np.array([each.marked for each in found], dtype=np.float64)

    result = sequential(draw, judged(DEFAULT_SHARE), rounds=ROUNDS)
    drawn = crowd.seen[len(asked) :]
    assert result.interval is not None
    evidence.measure(
        "share of the canary",
        result.interval.estimate,
        "share",
        n=result.interval.n,
        interval=[result.interval.low, result.interval.high],
        level=result.interval.level,
        method=result.interval.method,
    )
    evidence.check(result)
    evidence.require(
        "each query is drawn on its own: one user's same question goes to either model",
        {each.model for each in drawn} == {spaces_of.stable, spaces_of.other},
        expected="both models for one user and one question (documented as not sticky)",
        actual=sorted({each.model for each in drawn}),
    )


def judged(share: float) -> Callable[[NDArray[np.float64], float], CheckResult]:
    """Return the judge of marks against a share, within :data:`TOLERANCE`."""
    return lambda marks, level: binomial_share_verdict(
        int(marks.sum()), len(marks), share, level, tolerance=TOLERANCE, what="share of the canary"
    )


@conformance("embed/canary-share", since="0.2", profiles=("full",))
@needs("read", "write", "restart", roles=["gateway", "edge", "vectordb"], features=["native-api"])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_any_share_that_is_asked_for_is_kept(
    share: float, spaces_of: SpacesOf, crowd: Crowd, evidence: Evidence
) -> None:
    """A share of nothing or of everything MUST be kept exactly, any other one with confidence."""
    make_canary(spaces_of, share)
    if share in (0.0, 1.0):
        found = crowd.ask(ROUND)
        evidence.require(
            f"a share of {share:.0%} is exact",
            sum(each.marked for each in found) == share * len(found),
            expected=share * len(found),
            actual=sum(each.marked for each in found),
        )
    else:

        def draw(_round: int) -> NDArray[np.float64]:
            marks = [each.marked for each in crowd.ask(ROUND)]
            return np.array(marks, dtype=np.float64)

        evidence.check(sequential(draw, judged(share), rounds=ROUNDS))
    require_marked(crowd.seen, spaces_of.other, evidence, "drawn")
