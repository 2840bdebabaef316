"""api/schemas: what the gateway answers is what its published description says."""

from __future__ import annotations

import secrets

from fixtures.faults import Inject
from fixtures.published import ApiUsers, Ask, asked, every_answer
from harness import conformance, needs
from harness.checks.openapi import Description
from harness.core.evidence import Evidence
from harness.drivers.gateway_http import Answer

NOT_ON_A_SOUND_STACK = {"500", "503"}
"""Statuses that a service which is well gives nobody."""

STRAY = {
    "a path that is none": ("GET", "/v1/nothing-here"),
    "a method that a path does not take": ("PATCH", "/v1/documents"),
    "a path outside the version": ("GET", "/v0/documents"),
}


def problems_of(published: Description, ask: Ask, answer: Answer) -> list[str]:
    """Say what is wrong with an answer by its description."""
    operation = published.operation(ask.operation)
    return published.problems(operation, answer.status, dict(answer.headers), answer.text)


@conformance("api/schemas", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_every_answer_is_one_that_the_description_has(
    published: Description, api_users: ApiUsers, evidence: Evidence
) -> None:
    """Each operation MUST answer with every status that its description has and a sound service can
    give, each answer's status, content type, headers and body MUST be as described, and a request
    that belongs to no operation MUST get the described error too."""
    asks = every_answer(f"schema-{secrets.token_hex(4)}")
    seen: set[tuple[str, str]] = set()
    for ask in asks:
        answer = asked(api_users, ask)
        seen.add((ask.operation, str(answer.status)))
        evidence.require(
            f"{ask.told} is answered {ask.status}",
            answer.status == ask.status,
            expected=ask.status,
            actual=f"{answer.status}: {answer.error or answer.text[:200]}",
        )
        wrong = problems_of(published, ask, answer)
        evidence.require(
            f"{ask.told}, {answer.status}: the answer is as described",
            not wrong,
            expected="status, content type, headers and body of the published description",
            actual="; ".join(wrong) or "as described",
        )
    for row in api_users.whole.list_documents().expect(200).json["documents"]:
        api_users.whole.delete_document(row["document_id"])
    _stray(published, api_users, evidence)
    unseen = [
        f"{operation.label} {status}"
        for operation in published.operations()
        for status in sorted(operation.statuses - NOT_ON_A_SOUND_STACK)
        if (operation.label, status) not in seen
    ]
    evidence.require(
        "every status that is described was seen",
        not unseen,
        expected="a request of this case for each",
        actual=unseen or f"{len(seen)} seen",
    )


def _stray(published: Description, api_users: ApiUsers, evidence: Evidence) -> None:
    for what, (method, path) in STRAY.items():
        answer = api_users.whole.request(method, path)
        kind = answer.headers.get("content-type", "").split(";")[0]
        evidence.require(
            f"{what} is refused with a problem",
            answer.status in (404, 405) and kind == "application/problem+json",
            expected="404 or 405, application/problem+json",
            actual=f"{answer.status}, {kind}",
        )
        wrong = published.fits({"$ref": "#/components/schemas/v1.Problem"}, answer.json)
        evidence.require(
            f"{what}: the problem is as described",
            not wrong,
            expected="components.schemas v1.Problem",
            actual="; ".join(wrong) or "as described",
        )


@conformance("api/schemas", since="0.2")
@needs("read", "write", "fault", roles=["edge", "faultproxy"], features=["native-api"])
def test_an_answer_of_a_service_in_trouble_is_described_too(
    published: Description, api_users: ApiUsers, faults: Inject, evidence: Evidence
) -> None:
    """While a part is away, what the gateway answers MUST be as described, a 503 with the time
    after which to try again."""
    document = {"document_id": "trouble", "persona": "work", "text": "The lamp is lit."}
    question = {"query": "When is the lamp lit?", "persona": "work"}
    api_users.whole.request("POST", "/v1/documents", json=document).expect(201)
    asks = [
        Ask("POST /v1/query", 503, "whole", "/v1/query", {"json": question}),
        Ask("POST /v1/documents", 503, "whole", "/v1/documents", {"json": document}),
    ]
    with faults("http-status", link="gateway-vectordb", status=500):
        for ask in asks:
            answer = asked(api_users, ask)
            evidence.require(
                f"{ask.told} is refused while the vector store fails, and says until when",
                answer.status == 503 and str(answer.headers.get("Retry-After", "")).isdigit(),
                expected="503 with Retry-After in seconds",
                actual=f"{answer.status}, Retry-After {answer.headers.get('Retry-After')}",
            )
            wrong = problems_of(published, ask, answer)
            evidence.require(
                f"{ask.told}, 503: the answer is as described",
                not wrong,
                expected="status, content type, headers and body of the published description",
                actual="; ".join(wrong) or "as described",
            )
    with faults("http-status", link="gateway-rerank", status=500):
        ask = Ask("POST /v1/query", 200, "whole", "/v1/query", {"json": question})
        answer = asked(api_users, ask).expect(200)
        wrong = problems_of(published, ask, answer)
        evidence.require(
            "an answer that lacks the reranker says so as described",
            not wrong and bool(answer.json["degraded"]),
            expected="200, degraded, as described",
            actual="; ".join(wrong) or answer.json["degraded"],
        )
    api_users.whole.delete_document("trouble")
