"""durability/acknowledged: what the gateway acknowledged is there after any process dies."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

import pytest
from qdrant_client import QdrantClient, models

from fixtures.faults import Inject
from fixtures.stores import ALIAS
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.acknowledged import Operation, State, acknowledged_verdict
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import ReferenceGateway

ROLES = ("vectordb", "metadata", "gateway", "embed", "rerank", "auth", "edge")
"""Every process that a write passes or that it could wait for."""

WRITERS = 3
BEFORE_S = 1.5
AFTER_S = 2.0
PERSONA = "work"


class Writer(threading.Thread):
    """Writes numbered documents as fast as they are acknowledged and keeps its own log."""

    def __init__(self, gateway: ReferenceGateway, name: str) -> None:
        super().__init__(daemon=True)
        self.gateway, self.stem = gateway, name
        self.over = threading.Event()
        self.log: list[Operation] = []

    def run(self) -> None:
        """Write until told to stop; no answer, or a server error, is indefinite."""
        number = 0
        while not self.over.is_set():
            number += 1
            key = f"{self.stem}-{number:05d}"
            text = f"Heartbeat {key} carries {secrets.token_hex(8)} over the fence."
            began = time.time()
            answer = self.gateway.put_document(PERSONA, text, document_id=key)
            state: State = "acknowledged"
            if 400 <= answer.status < 500:
                state = "rejected"
            elif answer.status != 201:
                state = "indefinite"
                self.over.wait(0.05)
            ended = time.time()
            self.log.append(Operation(key, "put", key, state, began, ended, digest(text)))


def digest(text: str) -> str:
    """Return what stands for a text in the log."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_back(gateway: ReferenceGateway, log: list[Operation]) -> dict[str, str]:
    """Return what is there, by key: read by id, and found by its own text where it is there."""
    found: dict[str, str] = {}
    for operation in log:
        answer = gateway.get_document(operation.key).expect(200, 404)
        if answer.status == 200:
            found[operation.key] = digest(answer.json["text"])
    return found


@conformance("durability/acknowledged", since="0.1")
@needs("read", "write", "restart", "fault", roles=["edge", "vectordb", "metadata"])
@pytest.mark.parametrize("role", ROLES)
def test_acknowledged_documents_survive_a_kill(
    role: str,
    stack: Stack,
    vectordb: QdrantClient,
    faults: Inject,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """Each document that the gateway acknowledged MUST be read and found after any single process
    of the stack is killed under writes."""
    tenant = new_tenant("heartbeat", (PERSONA,))
    gateways = [connect(tenant.token, timeout=20.0) for _ in range(WRITERS)]
    writers = [Writer(gateway, f"w{n}") for n, gateway in enumerate(gateways)]
    for writer in writers:
        writer.start()
    time.sleep(BEFORE_S)
    before = sum(len(writer.log) for writer in writers)
    with faults("kill", role=role):
        time.sleep(0.5)
    stack.ready("gateway", 30)
    stack.ready("edge", 30)
    time.sleep(AFTER_S)
    for writer in writers:
        writer.over.set()
    for writer in writers:
        writer.join(timeout=30)
    log = [operation for writer in writers for operation in writer.log]
    acknowledged = [o for o in log if o.state == "acknowledged"]
    evidence.measure("documents acknowledged", len(acknowledged), "documents")
    evidence.measure(
        "writes left indefinite",
        sum(1 for o in log if o.state == "indefinite"),
        "writes",
    )
    evidence.require(
        "documents were acknowledged before the kill and after it",
        before > 0 and len(acknowledged) > before,
        expected="some before, more after",
        actual={"before": before, "in all": len(acknowledged)},
    )
    evidence.check(acknowledged_verdict(log, read_back(gateways[0], log).items()))
    found = documents_with_vectors(vectordb, tenant.id)
    missing = [operation.key for operation in acknowledged if operation.key not in found]
    evidence.require(
        f"each of {len(acknowledged)} acknowledged documents has its vectors",
        not missing,
        expected="a point for each document",
        actual=missing[:10] or "all there",
    )
    last = acknowledged[-1]
    answer = gateways[0].query(f"Heartbeat {last.key}", PERSONA, top_k=50).expect(200)
    evidence.require(
        "queries answer from the documents again",
        bool(answer.json["results"]) and not answer.json["degraded"],
        expected="results, not degraded",
        actual=answer.text[:200],
    )


def documents_with_vectors(vectordb: QdrantClient, tenant: str) -> set[str]:
    """Return the ids of the tenant's documents that have points in the vector store."""
    owner = models.FieldCondition(key="tenant_id", match=models.MatchValue(value=tenant))
    found: set[str] = set()
    offset = None
    while True:
        points, offset = vectordb.scroll(
            ALIAS,
            scroll_filter=models.Filter(must=[owner]),
            limit=1000,
            offset=offset,
            with_payload=["document_id"],
        )
        found.update(str((point.payload or {})["document_id"]) for point in points)
        if offset is None:
            return found
