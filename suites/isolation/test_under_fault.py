"""isolation/under-fault: what is broken, restored, rotated or rolled over leaks nothing either."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from fixtures.backup import Backup
from fixtures.canaries import Canaries, Canary
from fixtures.faults import Inject
from fixtures.siege import Siege
from fixtures.stores import ALIAS
from fixtures.tokens import Forger
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import Replace, Restart, Stack

Broken = tuple[str, dict[str, Any]]

LINKS: dict[str, Broken] = {
    "stale answers of the vector store": ("http-stale", {"link": "gateway-vectordb"}),
    "answers of the vector store twice": ("http-duplicate", {"link": "gateway-vectordb"}),
}

MORE_LINKS: dict[str, Broken] = {
    "reset to the vector store": ("reset", {"link": "gateway-vectordb"}),
    "late metadata store": ("latency", {"link": "gateway-metadata", "latency_ms": 120}),
    "late vector store": ("latency", {"link": "gateway-vectordb", "latency_ms": 200}),
    "some stale answers of the vector store": (
        "http-stale",
        {"link": "gateway-vectordb", "rate": 0.3},
    ),
    "some answers of the vector store twice": (
        "http-duplicate",
        {"link": "gateway-vectordb", "rate": 0.3},
    ),
    "stale embeddings": ("http-stale", {"link": "gateway-embed"}),
    "stale ranks": ("http-stale", {"link": "gateway-rerank"}),
    "stale keys": ("http-stale", {"link": "gateway-auth"}),
    "ranks twice": ("http-duplicate", {"link": "gateway-rerank"}),
    "reset to the metadata store": ("reset", {"link": "gateway-metadata"}),
    "reset to the reranker": ("reset", {"link": "gateway-rerank"}),
    "reset to the gateway": ("reset", {"link": "edge-blue"}),
}

ROLES = ("vectordb",)
MORE_ROLES = ("gateway", "metadata", "embed", "rerank", "auth", "edge", "faultproxy")

CANARY = {
    "CANARY": "1",
    "GATEWAY_EMBED_MODEL": "minilm-384",
    "GATEWAY_EMBED_STABLE_MODEL": "wordllama-256",
    "GATEWAY_CANARY_SHARE": "0.5",
}
NO_CANARY = {"CANARY": "", "GATEWAY_EMBED_MODEL": "wordllama-256"}


def _holds(siege: Siege, faults: Inject, evidence: Evidence, name: str, broken: Broken) -> None:
    slug, arguments = broken
    # Whoever answers later from what was kept has to have been asked before.
    siege.expect_recovery(evidence, f"{name}, before")
    with faults(slug, **arguments), siege.during(evidence, name):
        pass
    with siege.during(evidence, f"{name}, healed"):
        siege.expect_recovery(evidence, f"{name}, healed")


@conformance("isolation/under-fault", since="0.2")
@needs("write", "fault", roles=["edge", "auth", "vectordb"], features=["native-api"])
@pytest.mark.parametrize("name", LINKS)
def test_a_broken_link_leaks_nothing(
    name: str, siege: Siege, faults: Inject, evidence: Evidence
) -> None:
    """While answers inside come late, twice, from before or not at all, and right after, hostile
    requests MUST get nothing of another namespace."""
    _holds(siege, faults, evidence, name, LINKS[name])


@conformance("isolation/under-fault", since="0.2", profiles=("full",))
@needs(
    "write",
    "fault",
    roles=["edge", "auth", "embed", "rerank", "vectordb", "metadata"],
    features=["native-api"],
)
@pytest.mark.parametrize("name", MORE_LINKS)
def test_no_broken_link_leaks_anything(
    name: str, siege: Siege, faults: Inject, evidence: Evidence
) -> None:
    """Whichever link is broken, and however, hostile requests MUST get nothing of another
    namespace."""
    _holds(siege, faults, evidence, name, MORE_LINKS[name])


@conformance("isolation/under-fault", since="0.2")
@needs("write", "fault", roles=["edge", "auth", "vectordb", "metadata"], features=["native-api"])
@pytest.mark.parametrize("role", ROLES)
def test_a_kill_leaks_nothing(role: str, siege: Siege, faults: Inject, evidence: Evidence) -> None:
    """Before, while and after a role is killed and started again, hostile requests MUST get nothing
    of another namespace."""
    _killed(siege, faults, evidence, role)


@conformance("isolation/under-fault", since="0.2", profiles=("full",))
@needs("write", "fault", roles=["edge", "auth", "embed", "rerank"], features=["native-api"])
@pytest.mark.parametrize("role", MORE_ROLES)
def test_no_kill_leaks_anything(
    role: str, siege: Siege, faults: Inject, evidence: Evidence
) -> None:
    """Whichever role is killed and started again, hostile requests MUST get nothing of another
    namespace."""
    _killed(siege, faults, evidence, role)


def _killed(siege: Siege, faults: Inject, evidence: Evidence, role: str) -> None:
    with siege.during(evidence, f"{role} killed and started again"):
        with faults("kill", role=role):
            time.sleep(0.3)
        siege.expect_recovery(evidence, f"{role} started again")


@conformance("isolation/under-fault", since="0.2")
@needs("write", "fault", roles=["edge", "auth"], features=["native-api"])
def test_retired_keys_open_nothing(
    siege: Siege, faults: Inject, canaries: Canaries, forger: Forger, evidence: Evidence
) -> None:
    """While the signing key is replaced, tokens of the old and of the new key MUST get nothing of
    another namespace, and those of the old one nothing at all once the new one is in use."""
    hunter, _ = canaries.pair()
    with siege.during(evidence, "the signing key is replaced"):
        with faults("retired-key"):
            fresh = forger.limited_user(hunter, ("work",))
            old = dict(canaries.tokens)
            canaries.tokens[hunter.id, "work"] = fresh
            try:
                aims = {aim.asker: aim for aim in canaries.aims()}
                answers = {
                    asker: siege.hostile.ask(siege.plain, aim)[1] for asker, aim in aims.items()
                }
            finally:
                canaries.tokens.update(old)
        siege.expect_recovery(evidence, "the old key is back")
    asker = f"{hunter.id}/work"
    evidence.require(
        "a token of the new key reads its own, and each of the old one is refused",
        answers.pop(asker).status == 200 and all(a.status == 401 for a in answers.values()),
        expected="200 for the new, 401 for the old",
        actual={who: answer.status for who, answer in answers.items()},
    )


@contextmanager
def _canary(stack: Stack, *, rolled: bool) -> Iterator[None]:
    """The canary model is asked for its share, on a gateway that was restarted or rolled over."""
    if not isinstance(stack, Restart) or (rolled and not isinstance(stack, Replace)):
        raise NotAllowed(
            "This target's gateway cannot be given other settings.",
            expected="a driver with Restart and Replace",
            actual=type(stack).__name__,
        )

    def set_to(settings: dict[str, str]) -> None:
        if rolled and isinstance(stack, Replace):
            stack.replace("gateway", settings)
        elif isinstance(stack, Restart):
            stack.restart("gateway", settings)

    try:
        set_to(CANARY)
        yield
    finally:
        set_to(NO_CANARY)


def _written_again(canaries: Canaries) -> None:
    """Every document is replaced by itself: what a canary serves was written while it was on."""
    for canary in canaries.documents:
        canaries.gateways[canary.tenant].request(
            "POST",
            "/v1/documents",
            json={
                "document_id": canary.document_id,
                "persona": canary.persona,
                "text": canary.text,
                "metadata": {"title": f"Note {canary.keeper}", "keeper": canary.keeper},
            },
        ).expect(201)


@conformance("isolation/under-fault", since="0.2", profiles=("full",))
@needs("write", "fault", "restart", roles=["edge", "auth", "embed"], features=["native-api"])
def test_a_canary_leaks_nothing(
    siege: Siege, canaries: Canaries, stack: Stack, evidence: Evidence
) -> None:
    """While a second model serves a share of the queries from vectors of its own, hostile requests
    MUST get nothing of another namespace from either."""
    with _canary(stack, rolled=False):
        with siege.during(evidence, "documents are written for the canary"):
            _written_again(canaries)
        asked = siege.hostile.ask_all([siege.canary], canaries.aims())
        evidence.require(
            "the canary answered, from its own space, with the asker's own documents",
            all(
                seen.status == 200
                and any(k.lower() == "x-embed-canary" for k, _ in seen.headers)
                and all(c.marker in seen.text for c in canaries.of(aim.tenant, aim.persona))
                for _, aim, _, seen in asked
            ),
            expected="200, marked by its header, all own documents",
            actual=[seen.status for *_, seen in asked],
        )
        with siege.during(evidence, "the canary serves its share", least=150):
            pass
    siege.expect_recovery(evidence, "the canary is off")


@conformance("isolation/under-fault", since="0.2", profiles=("full",))
@needs("write", "fault", "restart", roles=["edge", "auth", "embed"], features=["native-api"])
def test_a_rollout_leaks_nothing(
    siege: Siege, canaries: Canaries, stack: Stack, evidence: Evidence
) -> None:
    """While blue gives way to green with a canary, and green to blue again, hostile requests MUST
    get nothing of another namespace."""
    with siege.during(evidence, "two switches between blue and green"):
        with _canary(stack, rolled=True):
            _written_again(canaries)
        siege.expect_recovery(evidence, "back on the old settings")


@conformance("isolation/under-fault", since="0.2", profiles=("full", "drill"))
@needs(
    "write",
    "fault",
    "destroy",
    roles=["edge", "auth", "vectordb", "objectstore"],
    features=["native-api"],
)
def test_a_restore_leaks_nothing(
    siege: Siege,
    canaries: Canaries,
    backup: Backup,
    vectordb: QdrantClient,
    evidence: Evidence,
) -> None:
    """While the vector store is restored to an older state, which has documents that were deleted
    since, hostile requests MUST get nothing of another namespace, nor their owners the deleted."""
    _, quarry = canaries.pair()
    gone, owner = canaries.of(quarry.id, "work")[-1], canaries.gateways[quarry.id]
    before = owner.query(gone.text, "work", top_k=50).expect(200)
    evidence.require(
        "it answers before, so that its silence means the deletion",
        gone.marker in before.text,
        expected=gone.document_id,
        actual=[row["document_id"] for row in before.json["results"]],
    )
    kept = backup.take()
    owner.delete_document(gone.document_id).expect(204)
    try:
        with siege.during(evidence, "the vector store is restored", least=150):
            backup.restore(kept)
        again = owner.query(gone.text, "work", top_k=50).expect(200)
    finally:
        _forget(vectordb, gone)
    evidence.require(
        "what was deleted after the backup does not answer again",
        gone.marker not in again.text,
        expected="no text of a document that is deleted",
        actual=[row["document_id"] for row in again.json["results"]],
    )


def _forget(vectordb: QdrantClient, gone: Canary) -> None:
    """Remove what the restore brought back: a point that no document owns is nobody's to lose, and
    a drill that is held next would miss it."""
    own = {"tenant_id": gone.tenant, "document_id": gone.document_id}
    named = [
        models.FieldCondition(key=key, match=models.MatchValue(value=value))
        for key, value in own.items()
    ]
    vectordb.delete(ALIAS, models.Filter(must=named), wait=True)
