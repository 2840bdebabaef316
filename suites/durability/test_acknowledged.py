"""durability/acknowledged: what the gateway acknowledged is there after any process dies."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from fixtures.faults import Inject
from fixtures.observed import Observer, agreement
from fixtures.scribes import PERSONA, Scribes
from fixtures.stores import ALIAS
from fixtures.tenants import Connect
from harness import conformance, needs
from harness.checks.acknowledged import acknowledged_verdict
from harness.core.evidence import Evidence
from harness.core.run import Run
from harness.core.verdicts import Verdict
from harness.drivers.base import Stack

ROLES = ("vectordb", "metadata", "gateway", "embed", "rerank", "auth", "edge")
"""Every process that a write passes or that it could wait for."""
STORES = ("vectordb", "metadata")
PAIRS = [pair for pair in itertools.combinations(ROLES, 2) if pair != STORES]

LEAST = 8
"""Acknowledgements that each writer gets before the kill, and again after it."""
WITHIN_S = 0.7
AGREE_S = 60.0
"""Writes that nobody waits for any more may still end, and what they left is cleaned up."""
GATEWAY_S = 12.0
"""A little more than the gateway gives a request (GATEWAY_TIMEOUT_S)."""


class Killing:
    """Kills under writes, and judges what is there afterwards."""

    def __init__(
        self,
        stack: Stack,
        run: Run,
        faults: Inject,
        scribes: Scribes,
        connect: Connect,
        metadata: Callable[[], psycopg.Connection],
        evidence: Evidence,
    ) -> None:
        self._stack, self._run, self._faults = stack, run, faults
        self._scribes, self._connect = scribes, connect
        self._metadata, self._evidence = metadata, evidence

    def one(self, role: str) -> None:
        """Kill a role and judge."""
        chance = self._chance(role)
        self._under_writes(chance, "kill", role=role)

    def two(self, *roles: str) -> None:
        """Kill two roles, either first and one shortly after the other, and judge."""
        chance = self._chance(*roles)
        role, other = chance.sample(roles, 2)
        apart_s = round(chance.uniform(0, WITHIN_S), 3)
        self._under_writes(chance, "kill-two", role=role, other=other, apart_s=apart_s)

    def _chance(self, *roles: str) -> random.Random:
        return random.Random(f"{self._run.seed}/{'+'.join(roles)}")

    def _under_writes(self, chance: random.Random, fault: str, **arguments: Any) -> None:
        """Inject the fault at a moment that nobody chose, and judge what is there afterwards."""
        with self._scribes.at_work():
            self._scribes.wait_for_more(LEAST)
            time.sleep(chance.uniform(0, WITHIN_S))
            before = len(self._scribes.acknowledged)
            with self._faults(fault, **arguments):
                time.sleep(chance.uniform(0, WITHIN_S))
            for role in ("gateway", "edge"):
                self._stack.ready(role, 60)
            self._scribes.wait_for_more(LEAST)
        self._judge(before)

    def _judge(self, before: int) -> None:
        log, evidence = self._scribes.log, self._evidence
        acknowledged = self._scribes.acknowledged
        kinds = Counter(operation.kind for operation in acknowledged)
        evidence.measure("writes acknowledged", len(acknowledged), "writes")
        evidence.measure("deletions among them", kinds["delete"], "writes")
        evidence.measure(
            "writes left indefinite", sum(1 for o in log if o.state == "indefinite"), "writes"
        )
        evidence.require(
            "documents were written and deleted, before the kill and after it",
            0 < before < len(acknowledged) and kinds["put"] > 0 and kinds["delete"] > 0,
            expected="some before, more after, of either kind",
            actual={"before": before, "in all": len(acknowledged), **kinds},
        )
        evidence.check(acknowledged_verdict(log, self._scribes.read_back()))
        self._require_agreement()
        self._require_answers(acknowledged[-1].key)

    def _require_agreement(self) -> None:
        """Each document that is there has its vectors, and no vector is there without one."""
        observer = Observer(self._stack, self._run)
        began = time.monotonic()
        while True:
            with self._metadata() as database, observer.collection(ALIAS) as collection:
                found = agreement(database, collection)
            waited = time.monotonic() - began
            # Points that are left over are cleaned up; a chunk gets no point any more once the
            # gateway's time for a request is over.
            patience = GATEWAY_S if found.details.get("without_point") else AGREE_S
            if found.verdict is not Verdict.FAIL or waited > patience:
                break
            time.sleep(0.5)
        self._evidence.check(found)

    def _require_answers(self, last: str) -> None:
        gateway = self._connect(self._scribes.tenant.token, timeout=20.0)
        # A part that was away is left alone for a few seconds before it is used again.
        deadline = time.monotonic() + GATEWAY_S
        while True:
            answer = gateway.query(f"Scribe {last}", PERSONA, top_k=50).expect(200)
            if not answer.json["degraded"] or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        self._evidence.require(
            "queries answer from the documents again",
            bool(answer.json["results"]) and not answer.json["degraded"],
            expected="results, not degraded",
            actual=answer.text[:200],
        )


@pytest.fixture
def killing(
    stack: Stack,
    run: Run,
    faults: Inject,
    scribes: Scribes,
    connect: Connect,
    metadata: Callable[[], psycopg.Connection],
    evidence: Evidence,
) -> Killing:
    """Writers at work, and a way to kill what they write to."""
    return Killing(stack, run, faults, scribes, connect, metadata, evidence)


@conformance("durability/acknowledged", since="0.1")
@needs("read", "write", "restart", "fault", roles=["edge", "vectordb", "metadata"])
@pytest.mark.parametrize("role", ROLES)
def test_acknowledged_documents_survive_a_kill(role: str, killing: Killing) -> None:
    """Each document that the gateway acknowledged MUST be read and found, and each that it deleted
    be gone, after any single process of the stack is killed under writes."""
    killing.one(role)


@conformance("durability/acknowledged", since="0.2")
@needs("read", "write", "restart", "fault", roles=["edge", "vectordb", "metadata"])
def test_acknowledged_documents_survive_the_loss_of_both_stores(killing: Killing) -> None:
    """Each document that the gateway acknowledged MUST be read and found, and each that it deleted
    be gone, after both stores are killed under writes, one shortly after the other."""
    killing.two(*STORES)


@conformance("durability/acknowledged", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "fault", roles=["edge", "vectordb", "metadata"])
@pytest.mark.parametrize(("first", "second"), PAIRS, ids=["+".join(pair) for pair in PAIRS])
def test_acknowledged_documents_survive_two_kills(
    first: str, second: str, killing: Killing
) -> None:
    """Each document that the gateway acknowledged MUST be read and found, and each that it deleted
    be gone, after any two processes of the stack are killed under writes, one shortly after the
    other."""
    killing.two(first, second)
