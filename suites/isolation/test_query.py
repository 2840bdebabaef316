"""isolation/query: no answer ever holds content of another tenant or persona."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.canaries import Canaries, leaks, require_no_leak
from fixtures.hostile import Hostile, expect_nothing_foreign
from fixtures.tenants import Connect
from fixtures.tokens import FORGERIES, KNOWN, Forger
from harness import conformance, needs
from harness.checks.probes_paths import READ_PROBES
from harness.checks.probes_query import QUERY_PROBES
from harness.core.evidence import Evidence
from harness.drivers.gateway_http import Answer


@conformance("isolation/query", since="0.1")
@needs("read", "write", roles=["edge"])
def test_asking_for_foreign_text_returns_only_own_documents(
    canaries: Canaries, evidence: Evidence
) -> None:
    """A query for the exact words of another namespace's document MUST return only documents of
    the asker's own tenant and persona, with and without reranking."""
    asked, leaked, blind = 0, [], []
    for tenant, gateway in canaries.gateways.items():
        for persona in canaries.tenants[tenant].personas:
            own = {canary.document_id for canary in canaries.of(tenant, persona)}
            foreign = canaries.foreign_to(tenant, persona)
            # Turn by turn one document of each other namespace, so that every topic has its turn.
            for canary in foreign[:: len(own) + 1]:
                # A wide net shows what leaks; one that just holds the own documents shows whether
                # foreign ones were in the way.
                for top_k, rerank in ((50, True), (len(own), False)):
                    answer = gateway.query(canary.text, persona, top_k=top_k, rerank=rerank)
                    results = answer.expect(200).json["results"]
                    asked += 1
                    probe = f"the exact words of {canary.tenant}/{canary.persona}, top_k={top_k}"
                    leaked += leaks(answer, foreign, f"{tenant}/{persona}", probe)
                    seen = {result["document_id"] for result in results}
                    if seen != own:
                        blind.append(f"{tenant}/{persona}: {len(seen & own)} of {len(own)} own")
    require_no_leak(evidence, f"no foreign marker in {asked} answers", leaked)
    evidence.require(
        "each answer holds exactly the asker's own documents, so foreign ones took no place",
        not blind,
        expected="all own documents and no other in every answer",
        actual=blind[:5] or "all own",
    )


@conformance("isolation/query", since="0.1")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
@pytest.mark.parametrize("group", sorted({probe.group for probe in QUERY_PROBES.values()}))
def test_a_request_cannot_widen_itself(
    group: str, hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """Tenant, persona, ids, sizes or filters in the body, the headers or the query string MUST NOT
    widen what a query may see."""
    probes = [probe for probe in QUERY_PROBES.values() if probe.group == group]
    # Who has nothing of its own finds nothing: a service may be tempted to look further.
    aims = [*canaries.aims(), *canaries.intrusions()[:1]]
    expect_nothing_foreign(evidence, hostile.fire(probes, aims), group)


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
@pytest.mark.parametrize("group", sorted({probe.group for probe in READ_PROBES.values()}))
def test_no_path_leads_to_a_foreign_document(
    group: str, hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """Reading by id, listing, paging and paths past the API MUST lead to nothing of another
    namespace."""
    probes = [probe for probe in READ_PROBES.values() if probe.group == group]
    expect_nothing_foreign(evidence, hostile.fire(probes, canaries.aims()), group)


@conformance("isolation/query", since="0.2", profiles=("full",))
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_no_namespace_reaches_any_other(
    hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """Every probe from every namespace at every other one MUST get nothing of it."""
    probes = [*QUERY_PROBES.values(), *READ_PROBES.values()]
    expect_nothing_foreign(evidence, hostile.fire(probes, canaries.aims(every=True)), "matrix")


@conformance("isolation/query", since="0.1")
@needs("read", "write", roles=["edge", "auth"])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_opens_nothing(
    forgery: str, canaries: Canaries, forger: Forger, connect: Connect, evidence: Evidence
) -> None:
    """A token that auth did not issue for this audience, that is over or that names no tenant
    MUST be refused and get no content."""
    _, quarry = canaries.pair()
    target = canaries.of(quarry.id, "work")[0]
    genuine = connect(quarry.token).query(target.text, "work")
    evidence.require(
        "the genuine token works, so a refusal means the forgery",
        genuine.status == 200 and target.marker in genuine.text,
        expected="200 with the tenant's own document",
        actual=f"{genuine.status}: {genuine.text[:120]}",
    )
    gateway = connect(forger.make(forgery, quarry))
    # A genuine token that belongs to nobody's tenant is known and may do nothing.
    expected = 403 if forgery in KNOWN else 401
    answers: list[Answer] = [
        gateway.query(target.text, "work"),
        gateway.get_document(target.document_id),
        gateway.list_documents(persona="work"),
        gateway.put_document("work", "Forged.", document_id=target.document_id),
        gateway.put_documents(
            [{"persona": "work", "text": "Forged.", "document_id": target.document_id}]
        ),
        gateway.delete_document(target.document_id),
    ]
    evidence.require(
        f"{forgery}: every endpoint refuses",
        all(answer.status == expected for answer in answers),
        expected=f"{expected} from each of query, get, list, both ways to write, and delete",
        actual=[f"{a.method} {a.path}: {a.status}" for a in answers],
    )
    require_no_leak(
        evidence,
        f"{forgery}: no refusal holds content",
        [
            leak
            for answer in answers
            for leak in leaks(answer, canaries.documents, forgery, "a forged token")
        ],
    )
    after = connect(quarry.token).get_document(target.document_id)
    evidence.require(
        f"{forgery}: the document is as it was",
        after.status == 200 and target.marker in after.text,
        expected="read by its owner as before",
        actual=f"{after.status}: {after.text[:120]}",
    )


@conformance("isolation/query", since="0.1")
@needs("read", "write", roles=["edge"])
def test_a_foreign_id_looks_like_one_that_does_not_exist(
    canaries: Canaries, evidence: Evidence
) -> None:
    """Reading a document of another tenant MUST give the same answer as reading one that does not
    exist."""
    hunter, quarry = canaries.pair()
    gateway = canaries.gateways[hunter.id]
    for canary in canaries.of(quarry.id):
        absent_id = "doc-" + canary.document_id.removeprefix("doc-")[::-1]
        foreign, absent = gateway.get_document(canary.document_id), gateway.get_document(absent_id)
        shapes = [
            _shape(answer, document_id, gateway.api.varying)
            for answer, document_id in ((foreign, canary.document_id), (absent, absent_id))
        ]
        evidence.require(
            "foreign and absent ids are told apart by nothing",
            shapes[0] == shapes[1] and foreign.status == 404,
            expected=shapes[1],
            actual=shapes[0],
        )


@conformance("isolation/query", since="0.1")
@needs("read", "write", roles=["edge", "auth"])
def test_a_token_is_limited_to_its_personas(
    canaries: Canaries, forger: Forger, connect: Connect, evidence: Evidence
) -> None:
    """A user without a persona MUST be refused (403) when asking as it, and never see its
    documents by id or in a list."""
    hunter, _ = canaries.pair()
    gateway = connect(forger.limited_user(hunter, ("work",)))
    hidden = canaries.of(hunter.id, "personal")
    refused = gateway.query(hidden[0].text, "personal")
    evidence.require(
        "asking as another persona is refused",
        refused.status == 403,
        expected=403,
        actual=f"{refused.status}: {refused.text[:200]}",
    )
    answers = [
        refused,
        gateway.query(hidden[0].text, "work", top_k=50).expect(200),
        gateway.list_documents(persona="personal"),
        gateway.list_documents(),
        *(gateway.get_document(canary.document_id) for canary in hidden),
    ]
    asker, probe = f"{hunter.id}/work", "a token without the persona"
    found = [leak for answer in answers for leak in leaks(answer, hidden, asker, probe)]
    require_no_leak(
        evidence, f"none of {len(answers)} answers holds the other persona's content", found
    )


def _shape(answer: Answer, document_id: str, varying: tuple[str, ...]) -> dict[str, Any]:
    """What is left of an answer when its id, trace and date are taken out."""
    body = {k: v for k, v in answer.json.items() if k not in ("trace_id", "instance", *varying)}
    passing = ("date", "x-request-id", "connection", *varying)
    headers = {k.lower(): v for k, v in answer.headers.items() if k.lower() not in passing}
    text = str({"body": body, "headers": headers}).replace(document_id, "<id>")
    return {"status": answer.status, "rest": text}
