"""isolation/query: no answer ever holds content of another tenant or persona."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.canaries import Canaries, leaks
from fixtures.tenants import Connect
from fixtures.tokens import FORGERIES, Forger
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.gateway_http import Answer

INJECTIONS: dict[str, dict[str, Any]] = {
    "tenant in the body": {"json": {"tenant_id": "{tenant}"}},
    "tenant in app_metadata of the body": {"json": {"app_metadata": {"tenant_id": "{tenant}"}}},
    "tenant as filter": {"json": {"filter": {"tenant_id": "{tenant}"}}},
    "tenant as nested filter": {
        "json": {"filter": {"should": [{"key": "tenant_id", "match": {"value": "{tenant}"}}]}}
    },
    "negated tenant as filter": {
        "json": {"filter": {"must_not": [{"key": "tenant_id", "match": {"value": "{own}"}}]}}
    },
    "ids of foreign points as filter": {"json": {"filter": {"has_id": ["{document}"]}}},
    "foreign document id as filter": {"json": {"filter": {"document_id": "{document}"}}},
    "filter that leaves its prefix": {"json": {"filter": {"../tenant_id": "{tenant}"}}},
    "foreign marker as metadata filter": {"json": {"filter": {"keeper": "{marker}"}}},
    "tenant in a header": {"headers": {"X-Tenant-Id": "{tenant}"}},
    "tenant in forwarding headers": {
        "headers": {"X-Forwarded-User": "{tenant}", "X-User-Tenant": "{tenant}"}
    },
    "claims in a header": {"headers": {"X-Jwt-Claims": '{{"tenant_id":"{tenant}"}}'}},
    "tenant in the query string": {"params": {"tenant_id": "{tenant}"}},
    "list of personas": {"json": {"persona": ["work", "personal"]}},
    "wildcard persona": {"json": {"persona": "*"}},
    "persona in another case": {"json": {"persona": "WORK"}},
    "largest top_k": {"json": {"top_k": 50}},
    "top_k beyond its limit": {"json": {"top_k": 100000}},
}
"""Ways to widen a request: each is merged into a query for the exact text of a foreign document."""


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
            for canary in foreign:
                # A wide net shows what leaks; one that just holds the own documents shows whether
                # foreign ones were in the way.
                for top_k, rerank in ((50, True), (len(own), False)):
                    answer = gateway.query(canary.text, persona, top_k=top_k, rerank=rerank)
                    results = answer.expect(200).json["results"]
                    asked += 1
                    leaked += leaks(answer, foreign)
                    seen = {result["document_id"] for result in results}
                    if seen != own:
                        blind.append(f"{tenant}/{persona}: {len(seen & own)} of {len(own)} own")
    evidence.require(
        f"no foreign marker in {asked} answers",
        not leaked,
        expected="no marker of another namespace in body or headers",
        actual=leaked[:5] or "none",
    )
    evidence.require(
        "each answer holds exactly the asker's own documents, so foreign ones took no place",
        not blind,
        expected="all own documents and no other in every answer",
        actual=blind[:5] or "all own",
    )


@conformance("isolation/query", since="0.1")
@needs("read", "write", roles=["edge"])
@pytest.mark.parametrize("how", INJECTIONS)
def test_a_request_cannot_widen_itself(how: str, canaries: Canaries, evidence: Evidence) -> None:
    """Tenant, persona, ids or filters in the body, the headers or the query string MUST NOT widen
    what a query may see."""
    hunter, quarry = canaries.pair()
    gateway = canaries.gateways[hunter.id]
    target = canaries.of(quarry.id, "work")[0]
    fill = {
        "{tenant}": quarry.id,
        "{own}": hunter.id,
        "{document}": target.document_id,
        "{marker}": target.marker,
    }
    injection = _filled(INJECTIONS[how], fill)
    body = {"query": target.text, "persona": "work", "top_k": 10} | injection.get("json", {})
    answer = gateway.request(
        "POST",
        "/v1/query",
        json=body,
        headers=injection.get("headers", {}),
        params=injection.get("params", {}),
    )
    evidence.require(
        f"{how}: refused, or answered from the own namespace only",
        answer.status in (200, 400, 403, 404, 422),
        expected="200 or a client error",
        actual=f"{answer.status}: {answer.text[:200]}",
    )
    # The body sent holds a foreign marker where the attack is a marker; only what comes back in
    # results counts there, an error may quote its own input.
    foreign = canaries.foreign_to(hunter.id, "work")
    if answer.status == 200:
        documents = {row["document_id"] for row in answer.json["results"]}
        own = {canary.document_id for canary in canaries.of(hunter.id, "work")}
        evidence.require(
            f"{how}: every result is the asker's own",
            documents <= own and not leaks(answer, foreign),
            expected=sorted(own),
            actual=sorted(documents),
        )
    else:
        others = [c for c in foreign if c.marker not in str(body)]
        evidence.require(
            f"{how}: the refusal names nothing foreign",
            not leaks(answer, others),
            actual=answer.text[:300],
        )


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
    expected = 403 if forgery == "without a tenant" else 401
    answers: list[Answer] = [
        gateway.query(target.text, "work"),
        gateway.get_document(target.document_id),
        gateway.list_documents(persona="work"),
        gateway.delete_document(target.document_id),
    ]
    evidence.require(
        f"{forgery}: every endpoint refuses",
        all(answer.status == expected for answer in answers),
        expected=f"{expected} from each of query, get, list and delete",
        actual=[f"{a.method} {a.path}: {a.status}" for a in answers],
    )
    evidence.require(
        f"{forgery}: no refusal holds content",
        not any(leaks(answer, canaries.documents) for answer in answers),
        actual=[leaks(answer, canaries.documents) for answer in answers],
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
            _shape(answer, document_id)
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
    found = [leak for answer in answers for leak in leaks(answer, hidden)]
    evidence.require(
        f"none of {len(answers)} answers holds the other persona's content",
        not found,
        actual=found or "none",
    )


def _filled(value: Any, fill: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, fill) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, fill) for item in value]
    if isinstance(value, str):
        for name, text in fill.items():
            value = value.replace(name, text)
        return value.replace("{{", "{").replace("}}", "}")
    return value


def _shape(answer: Answer, document_id: str) -> dict[str, Any]:
    """What is left of an answer when its id, trace and date are taken out."""
    body = {k: v for k, v in answer.json.items() if k not in ("trace_id", "instance")}
    passing = ("date", "x-request-id", "etag", "connection")
    headers = {k.lower(): v for k, v in answer.headers.items() if k.lower() not in passing}
    text = str({"body": body, "headers": headers}).replace(document_id, "<id>")
    return {"status": answer.status, "rest": text}
