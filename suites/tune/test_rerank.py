"""tune/rerank-batch: where the reranker is slow, smaller batches are answered sooner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from chaos.faults.role_fault import restartable
from chaos.playbooks import replaceable
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.means import paired_difference
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import GatewayClient

SLOW = {"RERANK_MODEL": "minilm-maxsim", "RERANK_CACHE_MB": "0"}
"""A reranker that reads every text of every question with a model: guide, section 11, "Rerank
slow"."""

USUAL = dict.fromkeys(SLOW, "")
WHOLE, CUT = 32, 4
"""What a gateway has by itself (all candidates in one request), and what the cheat sheet says."""

DOCUMENTS, ASKED, WARM = 24, 15, 3
WORDS = 24
TURNS = 2
"""How often each size has its turn: what else changes meanwhile then meets both."""

QUESTION = "Which crate stands in hall {number} beside the {word}?"

NewTenant = Callable[..., Tenant]


@dataclass(frozen=True)
class Timed:
    """What one batch size gave: seconds and document ids of each question."""

    seconds: list[float]
    found: list[list[str]]


@pytest.fixture
def slow_reranker(stack: Stack) -> Iterator[None]:
    """Have the reranker be slow, and as it was afterwards; the gateway too."""
    restartable(stack).restart("rerank", SLOW)
    try:
        yield
    finally:
        restartable(stack).restart("rerank", USUAL)
        replaceable(stack).replace("gateway", {"GATEWAY_RERANK_BATCH": ""})


def text(number: int) -> str:
    """Return a document of :data:`WORDS` words."""
    names = np.random.default_rng(number).choice(["crate", "hall", "lamp", "door", "crane"], WORDS)
    return f"In hall {number} " + " ".join(f"{name} {place}" for place, name in enumerate(names))


def ask_all(gateway: GatewayClient, timed: Timed) -> None:
    """Ask every question one after the other."""
    for number in range(-WARM, ASKED):
        question = QUESTION.format(number=abs(number), word=("lamp", "door", "crane")[number % 3])
        began = time.perf_counter()
        body: Any = gateway.query(question, "work", top_k=20).expect(200).json
        if number >= 0:
            timed.seconds.append(time.perf_counter() - began)
            timed.found.append([] if body["degraded"] else [r["chunk_id"] for r in body["results"]])


@conformance("tune/rerank-batch", since="0.2", profiles=("full",))
@needs("read", "write", "restart", roles=["gateway", "edge", "rerank"], features=["native-api"])
@pytest.mark.timing
def test_smaller_batches_are_answered_sooner_by_a_slow_reranker(
    stack: Stack,
    slow_reranker: None,
    new_tenant: NewTenant,
    connect: Connect,
    evidence: Evidence,
) -> None:
    """Where the reranker takes long over each text, GATEWAY_RERANK_BATCH=4 SHOULD answer questions
    sooner than one request for all candidates, with confidence and with the same order."""
    tenant = new_tenant("batches", ("work",))
    rows = [
        {"document_id": f"d{n}", "persona": "work", "text": text(n), "metadata": {}}
        for n in range(DOCUMENTS)
    ]
    connect(tenant.token).put_documents(rows).expect(201)
    timed = {WHOLE: Timed([], []), CUT: Timed([], [])}
    for batch in TURNS * (WHOLE, CUT):
        replaceable(stack).replace("gateway", {"GATEWAY_RERANK_BATCH": str(batch)})
        ask_all(connect(tenant.token), timed[batch])
    for batch in timed:
        evidence.measure(
            f"mean time of a question with batches of {batch}",
            float(np.mean(timed[batch].seconds)),
            "s",
            n=TURNS * ASKED,
        )
    if not (all(timed[WHOLE].found) and all(timed[CUT].found)):
        evidence.inconclusive("the reranker was too slow to answer every question in time")
    evidence.require(
        "batches change no order",
        timed[WHOLE].found == timed[CUT].found,
        expected="the same chunks in the same order",
        actual="as expected" if timed[WHOLE].found == timed[CUT].found else "another order",
    )
    change = paired_difference(timed[WHOLE].seconds, timed[CUT].seconds)
    evidence.measure(
        "change by smaller batches",
        change.estimate,
        "s",
        n=change.n,
        interval=[change.low, change.high],
        level=change.level,
    )
    if change.low <= 0 <= change.high:
        evidence.inconclusive("the two batch sizes can't be told apart on this machine now")
    evidence.require(
        "smaller batches are answered sooner",
        change.high < 0,
        expected="a difference whose interval lies below 0",
        actual=f"{change.estimate:.3f} s [{change.low:.3f}, {change.high:.3f}]",
    )
