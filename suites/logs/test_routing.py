"""logs/routing: every role's log arrives in the tenant that it belongs to."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable
from functools import partial

import psycopg

from fixtures.logs import RAG, STORE_TENANTS, TENANTS, LogLine, LogStore
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import TargetError
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import GatewayClient

QUESTIONS = 3
LATELY_S = 60.0


def _ask(gateway: GatewayClient, count: int) -> list[str]:
    """Ask so many questions about one document, each with a request id of its own."""
    gateway.put_document("work", "The night watch writes down who came and who left.").expect(201)
    ids = [f"route-{secrets.token_hex(8)}" for _ in range(count)]
    for each in ids:
        gateway.query("Who came?", "work", headers={"X-Request-Id": each}).expect(200)
    return ids


def _missing(lines: list[LogLine], ids: list[str], role: str) -> list[str]:
    """Which request ids no line of the role names."""
    text = "\n".join(line.text for line in lines if line.labels.get("role") == role)
    return [each for each in ids if each not in text]


@conformance("logs/routing", since="0.2")
@needs("read", "write", roles=["edge", "rerank", "logs"], features=["native-api"])
def test_gateway_and_reranker_carry_app_rag(
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """What the gateway and the reranker log of a request MUST be found under app=rag, and nobody
    else's log may stand there."""
    since = time.time() - 1
    ids = _ask(connect(new_tenant("routed", ("work",)).token), QUESTIONS)

    def all_there(lines: list[LogLine]) -> bool:
        return not any(_missing(lines, ids, role) for role in ("gateway", "rerank"))

    lines = log_store.wait_for(RAG, since, all_there, selector='{app="rag"}')
    for role in ("gateway", "rerank"):
        missing = _missing(lines, ids, role)
        evidence.require(
            f"each of {QUESTIONS} requests has a line of the {role} under app=rag",
            not missing,
            expected="none missing",
            actual=missing,
        )
    strangers = [
        labels
        for labels in log_store.streams(RAG)
        if labels.get("app") != "rag" or labels.get("role") not in ("gateway", "rerank")
    ]
    evidence.require(
        "the rag tenant holds streams of gateway and reranker alone, all with app=rag",
        not strangers,
        expected="no other stream",
        actual=strangers,
    )


def _fail_to_log_in(stack: Stack, user: str) -> None:
    """Leave a line with this user's name in the log of the metadata store."""
    where = stack.endpoint("metadata")
    dsn = f"postgresql://{user}:wrong@{where.host}:{where.port}/rag"
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(dsn, connect_timeout=5).close()
        raise TargetError("The metadata store let somebody in who does not exist.", actual=user)


@conformance("logs/routing", since="0.2")
@needs("read", "write", roles=["edge", "vectordb", "metadata", "logs"], features=["native-api"])
def test_the_stores_have_tenants_of_their_own(
    stack: Stack,
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """What metadata and vector store log MUST be found in tenants of their own and in no other
    tenant, and nobody may ask for logs without naming a tenant."""
    since = time.time() - 1
    ids = _ask(connect(new_tenant("routed", ("work",)).token), QUESTIONS)
    stranger = f"stranger_{secrets.token_hex(6)}"
    _fail_to_log_in(stack, stranger)
    for role, marks in (("vectordb", ids), ("metadata", [stranger])):
        tenant = STORE_TENANTS[role]
        lines = log_store.wait_for(
            tenant, since, lambda found, r=role, m=marks: not _missing(found, m, r)
        )
        missing = _missing(lines, marks, role)
        evidence.require(
            f"what the {role} logged is in the tenant {tenant}",
            not missing,
            expected="none missing",
            actual=missing,
        )
        elsewhere = {
            other: labels
            for other in TENANTS
            if other != tenant
            and (labels := [s for s in log_store.streams(other) if s.get("role") == role])
        }
        evidence.require(
            f"no other tenant has a stream of the {role}",
            not elsewhere,
            expected="none",
            actual=elsewhere,
        )
    status = log_store.status_without_tenant()
    evidence.require(
        "logs cannot be asked for without naming a tenant",
        status == 401,
        expected=401,
        actual=status,
    )


def _all_told(ids: list[str], role: str, lines: list[LogLine]) -> bool:
    return not _missing(lines, ids, role)


WORDS = ("ts", "level", "event", "service")
BY_PRODUCTS = {"service": ("caller", "logger"), "event": ("msg",)}
"""What a product that writes JSON of its own calls these."""


def _unstructured(line: LogLine) -> str:
    """What a line lacks to be found by its time, level, event and service; empty for nothing."""
    try:
        held = json.loads(line.text)
    except ValueError:
        return "no JSON"
    if not isinstance(held, dict):
        return "no object"
    lacks = [w for w in WORDS if not any(held.get(n) for n in (w, *BY_PRODUCTS.get(w, ())))]
    return f"without {', '.join(lacks)}" if lacks else ""


@conformance("logs/routing", since="0.2")
@needs("read", "write", roles=["edge", "rerank", "vectordb", "metadata", "logs"])
def test_every_role_logs_structured(
    stack: Stack,
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """Every line of every role MUST be stored as one JSON object that says when, how bad, what and
    who, also where the role itself writes plain text."""
    since = time.time() - LATELY_S
    ids = _ask(connect(new_tenant("routed", ("work",)).token), QUESTIONS)
    stranger = f"stranger_{secrets.token_hex(6)}"
    _fail_to_log_in(stack, stranger)
    for tenant, marks, role in (
        (RAG, ids, "rerank"),
        (STORE_TENANTS["metadata"], [stranger], "metadata"),
    ):
        log_store.wait_for(tenant, since, partial(_all_told, marks, role))
    lines = [line for tenant in TENANTS for line in log_store.lines(tenant, since)]
    roles = {line.labels.get("role", "") for line in lines}
    evidence.require(
        "those that took part have logged",
        roles >= {"gateway", "rerank", "vectordb", "metadata", "edge"},
        expected="gateway, rerank, vectordb, metadata and edge",
        actual=sorted(roles),
    )
    wrong = {
        line.labels.get("role"): f"{lacks}: {line.text[:200]}"
        for line in lines
        if (lacks := _unstructured(line))
    }
    evidence.require(
        f"each of {len(lines)} lines of {len(roles)} roles is structured",
        not wrong,
        expected=f"a JSON object with {', '.join(WORDS)}",
        actual=wrong or "each is",
    )
