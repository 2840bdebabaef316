"""isolation/side-channels: what is kept of one tenant's questions and answers serves no other, and
tells no other that it is there."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from fixtures.canaries import Canaries
from fixtures.hostile import Hostile
from harness import conformance, needs
from harness.checks.markers import new_word
from harness.checks.probes import Request
from harness.core.evidence import Evidence
from harness.drivers.gateway_http import GatewayClient


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"])
def test_no_cache_answers_for_somebody_else(canaries: Canaries, evidence: Evidence) -> None:
    """A question that one namespace has just asked, with the same words, size and filter, MUST
    give another namespace its own answer, and a write or delete MUST show in the next one."""
    asked, wrong = 0, []
    for question in sorted({canary.topic for canary in canaries.documents}):
        for rerank in (True, False):
            # Twice round: what the first round may have kept, the second would be given.
            for (tenant, persona), gateway in 2 * canaries.namespaces():
                answer = gateway.query(question, persona, top_k=3, rerank=rerank).expect(200)
                own = {canary.document_id for canary in canaries.of(tenant, persona)}
                seen = {row["document_id"] for row in answer.json["results"]}
                asked += 1
                if seen != own:
                    wrong.append(f"{tenant}/{persona}: {sorted(seen - own)} not its own")
    evidence.require(
        f"each of {asked} answers to the same questions holds the asker's own documents",
        not wrong,
        expected="the own documents, whoever asked before",
        actual=wrong[:5] or "its own",
    )
    stale = [
        each for key, gateway in canaries.namespaces() for each in _stale(key, gateway, canaries)
    ]
    evidence.require(
        "a write, a change and a delete show in the very next answer, and in nobody else's",
        not stale,
        actual=stale[:5] or "at once",
    )


def _stale(key: tuple[str, str], gateway: GatewayClient, canaries: Canaries) -> list[str]:
    """What was not seen at once by the writer, or was seen by another."""
    tenant, persona = key
    question, first, second = (
        "Which ferry leaves for the islands on Sunday?",
        new_word(),
        new_word(),
    )

    def seen() -> dict[str, str]:
        return {
            "/".join(who): other.query(question, who[1], top_k=10).expect(200).text
            for who, other in canaries.namespaces()
        }

    wrong: list[str] = []

    def expect(step: str, holds: str, lacks: str) -> None:
        for who, text in seen().items():
            wanted = holds if who == f"{tenant}/{persona}" else ""
            if wanted and wanted not in text:
                wrong.append(f"{step} by {tenant}/{persona}: {who} does not see it")
            if any(word in text for word in (first, second) if word != wanted) or (
                lacks and lacks in text
            ):
                wrong.append(f"{step} by {tenant}/{persona}: {who} sees what it must not")

    seen()
    for step, word, gone in (("write", first, ""), ("change", second, first)):
        document = {"document_id": "doc-ferry", "persona": persona, "text": f"{question} {word}"}
        gateway.put_documents([document]).expect(201)
        expect(step, word, gone)
    gateway.delete_document("doc-ferry").expect(204)
    expect("delete", "", second)
    return wrong


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_one_address_serves_each_its_own(canaries: Canaries, evidence: Evidence) -> None:
    """The same address and the same id, read by one tenant after the other, MUST give each its own
    document and its own list, however often they are asked for."""
    shared = f"doc-{secrets.token_hex(6)}"
    words = {tenant: new_word() for tenant in canaries.gateways}
    for tenant, gateway in canaries.gateways.items():
        gateway.put_document(
            "work", f"Of the shared id: {words[tenant]}.", document_id=shared,
            metadata={"title": words[tenant]},
        ).expect(201)  # fmt: skip
    wrong: list[str] = []
    asked = 0
    try:
        for tenant, gateway in 3 * list(canaries.gateways.items()):
            own = {canary.document_id for canary in canaries.of(tenant)} | {shared}
            others = [word for name, word in words.items() if name != tenant]
            for path in (f"/v1/documents/{shared}", "/v1/documents", "/v1/documents?limit=256",
                         "/v1/documents?persona=work"):  # fmt: skip
                answer = gateway.request("GET", path).expect(200)
                asked += 1
                if words[tenant] not in answer.text or any(w in answer.text for w in others):
                    wrong.append(f"{path} as {tenant}: not its own")
                rows = {row["document_id"] for row in answer.json.get("documents", ())}
                if rows - own:
                    wrong.append(f"{path} as {tenant}: {sorted(rows - own)} are not its own")
    finally:
        for gateway in canaries.gateways.values():
            gateway.delete_document(shared)
    evidence.require(
        f"each of {asked} reads in turn gives the reader's own",
        not wrong,
        expected="its own document and list, whoever asked before",
        actual=wrong[:5] or "its own",
    )


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_a_question_of_others_leaves_no_trace(
    hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """The answer to a question that others have asked before MUST carry the same headers and fields
    as that to a question that nobody asked before."""
    hunter, quarry = canaries.pair()
    askers = {
        "another tenant": canaries.tokens[quarry.id, "work"],
        "another persona": canaries.tokens[hunter.id, "personal"],
    }
    own = canaries.tokens[hunter.id, "work"]
    told: dict[str, Any] = {}
    for number, who in enumerate([None, *askers, None]):
        # Of one length, and without a word of any document: only who asked before differs.
        question = f"{secrets.token_hex(8)} {secrets.token_hex(8)}"
        if who is not None:
            persona = "personal" if who == "another persona" else "work"
            for rerank in (True, False):
                hostile.wire.send(_question(question, persona, rerank), askers[who])
        told[f"{number}: {who or 'nobody'}"] = [
            _outside(hostile, _question(question, "work", rerank), own) for rerank in (True, False)
        ]
    fresh, *others = told.values()
    evidence.require(
        "nothing but the results differs, whoever asked before",
        all(each == fresh for each in others) and fresh[0]["status"] == 200,
        expected=fresh,
        actual={who: each for who, each in told.items() if each != fresh} or "the same",
    )


def _question(question: str, persona: str, rerank: bool) -> Request:
    body = {"query": question, "persona": persona, "top_k": 3, "rerank": rerank}
    return Request("POST", "/v1/query", json=body)


def _outside(hostile: Hostile, request: Request, token: str) -> dict[str, Any]:
    """Status, headers and fields of an answer, without its results and its own trace."""
    seen = hostile.wire.send(request, token)
    passing = ("date", "x-request-id", "content-length", "connection")
    headers = sorted((k.lower(), v) for k, v in seen.headers if k.lower() not in passing)
    body = json.loads(seen.text)
    rows = body.pop("results", [])
    body.pop("trace_id", None)
    fields = sorted({name for row in rows for name in row})
    return {"status": seen.status, "headers": headers, "body": body, "fields": fields}


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_no_cache_between_may_keep_an_answer(canaries: Canaries, evidence: Evidence) -> None:
    """No answer with a tenant's content MUST permit a cache that others share to keep it."""
    loose = []
    answers = []
    for (_, persona), gateway in canaries.namespaces():
        canary = next(c for c in canaries.documents if gateway is canaries.gateways[c.tenant])
        answers += [
            gateway.query(canary.topic, persona),
            gateway.get_document(canary.document_id),
            gateway.list_documents(persona=persona),
            gateway.get_document("doc-that-never-was"),
        ]
    for answer in answers:
        told = ",".join(v for k, v in answer.headers.items() if k.lower() == "cache-control")
        directives = set(re.findall(r"[a-z-]+", told.lower()))
        # RFC 9111, 3.5: with a token, these alone permit a shared cache to keep an answer.
        shared = directives & {"public", "s-maxage", "must-revalidate"}
        if shared and not directives & {"no-store", "private"}:
            loose.append(f"{answer.method} {answer.path}: {told}")
    evidence.require(
        f"each of {len(answers)} answers is for nobody else",
        not loose and all(a.status in (200, 404) for a in answers),
        expected="no Cache-Control that permits a shared cache to keep it",
        actual=loose[:5] or [f"{a.status} {dict(a.headers).get('cache-control')}" for a in answers],
    )
