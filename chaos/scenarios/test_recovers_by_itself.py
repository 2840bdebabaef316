"""playbook/errors: an outage that the gateway is there to bear needs no step of anybody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chaos.faults.identity import settings_of
from chaos.playbooks import restartable
from chaos.playbooks.looking import metric
from fixtures.faults import Inject
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import Answer, GatewayClient

QUESTIONS = 12
"""Asked while a part is gone: more than it takes to open a circuit breaker."""

BACK_S = 12.0
"""Within this time the part must be in use again: four times the pause of the gateway's breaker."""

QUOTA = "EMBED_REQUESTS_PER_MINUTE"
MOST_TRIES = 5
BUDGET_S = 10.0


@dataclass(frozen=True)
class Part:
    """A part that can be missing, and what an answer is then: ``degraded`` is the reason that it
    must announce, ``None`` where nothing can be answered without the part."""

    link: str
    degraded: str | None


PARTS = {
    "embed": Part("gateway-embed", "embed_fallback"),
    "rerank": Part("gateway-rerank", "rerank_unavailable"),
    "vectordb": Part("gateway-vectordb", None),
}


@pytest.fixture(scope="module")
def asked(new_tenant: Callable[..., Tenant], connect: Connect) -> GatewayClient:
    """A tenant with one document."""
    gateway = connect(new_tenant("patient", ("work",)).token)
    gateway.put_document("work", "The lamp is lit at dusk.").expect(201)
    return gateway


def ask(gateway: GatewayClient) -> Answer:
    return gateway.query("When is the lamp lit?", "work")


def whole(answer: Answer) -> bool:
    """Whether an answer is all that it should be."""
    return answer.status == 200 and not answer.json["degraded"] and bool(answer.json["results"])


@conformance("playbook/errors", since="0.2")
@needs("read", "write", "fault", roles=["edge", "faultproxy"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_comes_back_is_used_again(
    part: str, asked: GatewayClient, faults: Inject, evidence: Evidence
) -> None:
    """While a part fails, each answer MUST say what it lacks or be refused with a time to come back
    at; once the part works, it MUST be used again with no step taken."""
    missing = PARTS[part]
    with faults("http-status", link=missing.link, status=500):
        answers = [ask(asked) for _ in range(QUESTIONS)]
    silent = [answer for answer in answers if not announced(answer, missing)]
    evidence.require(
        f"without {part} every answer says so",
        not silent,
        expected=f"degraded: [{missing.degraded}]" if missing.degraded else "503, Retry-After",
        actual=[answer.text[-200:] for answer in silent[:3]] or f"all {len(answers)}",
    )
    healed, began = time.monotonic(), time.time()
    while not whole(last := ask(asked)) and time.monotonic() - healed < BACK_S:
        time.sleep(0.1)
    evidence.require(
        f"{part} is used again within {BACK_S:.0f} s, by itself",
        whole(last),
        expected="a whole answer",
        actual=last.text[-300:] or last.error,
    )
    evidence.measure(f"time until {part} was used again", time.time() - began, "s")
    later = [ask(asked) for _ in range(3)]
    evidence.require(
        f"{part} stays in use",
        all(whole(answer) for answer in later),
        expected="three whole answers more",
        actual=[answer.status for answer in later],
    )


def announced(answer: Answer, missing: Part) -> bool:
    """Whether an answer without the part says so in the way that its kind asks for."""
    if missing.degraded is None:
        return answer.status == 503 and bool(answer.headers.get("Retry-After"))
    return answer.status == 200 and answer.json["degraded"] == [missing.degraded]


@pytest.fixture
def tight(stack: Stack) -> Iterator[None]:
    """A fallback provider whose quota is soon spent."""
    before = settings_of(stack, "fallback").get(QUOTA, "0")
    restartable(stack, "fallback").restart("fallback", {QUOTA: "5"})
    stack.ready("fallback")
    yield
    restartable(stack, "fallback").restart("fallback", {QUOTA: before})
    stack.ready("fallback")


@conformance("playbook/errors", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=["edge", "fallback", "faultproxy"])
def test_a_fallback_that_has_spent_its_quota_is_told_of(
    tight: None, asked: GatewayClient, faults: Inject, evidence: Evidence
) -> None:
    """While the worker fails and the fallback's quota is spent, each answer MUST be the fallback's
    and say so, or be refused with a time to come back at; once the worker works, it MUST be used
    again with no step taken."""
    missing = PARTS["embed"]
    with faults("http-status", link=missing.link, status=500):
        answers = [ask(asked) for _ in range(QUESTIONS)]
    answered = [answer for answer in answers if announced(answer, missing)]
    refused = [answer for answer in answers if announced(answer, Part(missing.link, None))]
    evidence.require(
        "each answer says what it lacks, or is refused with a time to come back at",
        len(answered) + len(refused) == len(answers),
        expected=f"200 and degraded: [{missing.degraded}], or 503 and Retry-After",
        actual=[answer.status for answer in answers],
    )
    evidence.require(
        "the quota was there to be spent, and was",
        bool(answered) and bool(refused),
        expected="some of each",
        actual=f"{len(answered)} answered, {len(refused)} refused",
    )
    healed = time.monotonic()
    while not whole(last := ask(asked)) and time.monotonic() - healed < BACK_S:
        time.sleep(0.1)
    evidence.require(
        f"the worker is used again within {BACK_S:.0f} s, by itself",
        whole(last),
        expected="a whole answer",
        actual=last.text[-300:] or last.error,
    )


@conformance("playbook/errors", since="0.2")
@needs("read", "write", "fault", roles=["edge", "rerank", "faultproxy"])
def test_a_failing_part_is_not_stormed(
    stack: Stack, asked: GatewayClient, faults: Inject, evidence: Evidence
) -> None:
    """A query MUST try a failing part a few times at most, and queries in a row MUST soon leave it
    alone: retries without bound make an outage of a hiccup."""

    def tries() -> float:
        return metric(stack, "rerank", "rag_rerank_requests_total")

    # The proxy answers 503 in the worker's place, which has counted the request by then.
    with faults("http-status", link="gateway-rerank", status=503):
        before, began = tries(), time.monotonic()
        ask(asked)
        took, first = time.monotonic() - began, tries() - before
        for _ in range(QUESTIONS):
            ask(asked)
        row = tries() - before
    evidence.require(
        "one query tries a failing part a few times, within its budget",
        1 <= first <= MOST_TRIES and took < BUDGET_S,
        expected=f"1 to {MOST_TRIES} tries in less than {BUDGET_S:.0f} s",
        actual=f"{first:.0f} tries in {took:.1f} s",
    )
    evidence.require(
        "queries in a row soon leave it alone",
        row <= MOST_TRIES * QUESTIONS / 2,
        expected=f"at most {MOST_TRIES * QUESTIONS / 2:.0f} tries for {QUESTIONS + 1} queries",
        actual=f"{row:.0f}",
    )
