"""isolation/write: no write, delete or update touches another namespace."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.canaries import Canaries, Canary, leaks
from fixtures.hostile import Hostile, expect_nothing_foreign
from fixtures.tenants import Connect
from fixtures.tokens import Forger
from harness import conformance, needs
from harness.checks.probes_paths import WRITE_PROBES
from harness.core.evidence import Evidence
from harness.drivers.gateway_http import Answer, GatewayClient


def unharmed(gateway: GatewayClient, documents: list[Canary]) -> list[str]:
    """Return what is wrong with documents read and searched by their own tenant."""
    wrong = []
    for canary in documents:
        read = gateway.get_document(canary.document_id)
        if read.status != 200 or canary.marker not in read.text:
            wrong.append(f"{canary.document_id}: read gave {read.status}")
        found = gateway.query(canary.text, canary.persona, top_k=10)
        if found.status != 200 or canary.marker not in found.text:
            wrong.append(f"{canary.document_id}: not found by its own text ({found.status})")
    return wrong


@conformance("isolation/write", since="0.1")
@needs("read", "write", roles=["edge"])
def test_deleting_a_foreign_document_does_nothing(canaries: Canaries, evidence: Evidence) -> None:
    """Deleting another tenant's document MUST change nothing and look like deleting an absent
    one."""
    hunter, quarry = canaries.pair()
    attacker = canaries.gateways[hunter.id]
    victims = canaries.of(quarry.id)
    answers = [attacker.delete_document(canary.document_id) for canary in victims]
    absent = attacker.delete_document("doc-that-never-was")
    evidence.require(
        "each delete answers as for an absent document",
        all(answer.status == absent.status == 404 for answer in answers),
        expected=f"{absent.status} for each",
        actual=[answer.status for answer in answers],
    )
    wrong = unharmed(canaries.gateways[quarry.id], victims)
    evidence.require(
        f"all {len(victims)} documents are still read and found by their owner",
        not wrong,
        actual=wrong or "all there",
    )


@conformance("isolation/write", since="0.1")
@needs("read", "write", roles=["edge"])
def test_writing_under_a_foreign_id_overwrites_nothing(
    canaries: Canaries, evidence: Evidence
) -> None:
    """Writing a document under an id that another tenant uses, alone or in a batch, MUST leave the
    other's as it was."""
    hunter, quarry = canaries.pair()
    attacker = canaries.gateways[hunter.id]
    victims = canaries.of(quarry.id)
    single = attacker.put_document(
        "work", "Written over by the hunter.", document_id=victims[0].document_id
    )
    batch = attacker.put_documents(
        [
            {
                "document_id": canary.document_id,
                "persona": canary.persona,
                "text": "Written over in a batch by the hunter.",
            }
            for canary in victims
        ]
    )
    evidence.require(
        "the writes are taken into the own namespace or refused, and hold nothing foreign",
        all(answer.status in (201, 400, 403, 404, 409, 422) for answer in (single, batch))
        and not leaks(single, victims)
        and not leaks(batch, victims),
        actual=[f"{a.status}: {a.text[:120]}" for a in (single, batch)],
    )
    wrong = unharmed(canaries.gateways[quarry.id], victims)
    evidence.require(
        f"all {len(victims)} documents of the other tenant are as they were",
        not wrong,
        actual=wrong or "as they were",
    )
    for canary in victims:
        attacker.delete_document(canary.document_id)
    wrong = unharmed(canaries.gateways[quarry.id], victims)
    evidence.require(
        "deleting the own copies under these ids leaves the other tenant's",
        not wrong,
        actual=wrong or "as they were",
    )


@conformance("isolation/write", since="0.1")
@needs("read", "write", roles=["edge", "auth"])
def test_a_token_writes_only_as_its_personas(
    canaries: Canaries, forger: Forger, connect: Connect, evidence: Evidence
) -> None:
    """A user without a persona MUST NOT write to it, replace its documents or delete them."""
    hunter, _ = canaries.pair()
    limited = connect(forger.limited_user(hunter, ("work",)))
    victims = canaries.of(hunter.id, "personal")
    answers: list[Answer] = [limited.put_document("personal", "Planted in another persona.")]
    for canary in victims:
        answers.append(
            limited.put_document("personal", "Replaced.", document_id=canary.document_id)
        )
        answers.append(limited.delete_document(canary.document_id))
    # The same id in the user's own persona must not pull the hidden document over.
    stolen = [
        limited.put_document("work", "Taken over.", document_id=canary.document_id)
        for canary in victims
    ]
    evidence.require(
        "writing as another persona is refused, deleting looks like absent",
        all(answer.status in (403, 404) for answer in answers),
        expected="403 or 404",
        actual=[f"{a.method} {a.status}" for a in answers],
    )
    wrong = unharmed(canaries.gateways[hunter.id], victims)
    evidence.require(
        f"all {len(victims)} documents of the other persona are as they were",
        not wrong,
        expected="unchanged, whatever the answers to the take-over were",
        actual={"wrong": wrong or "nothing", "take-over": [a.status for a in stolen]},
    )
    for canary in victims:
        if limited.get_document(canary.document_id).status == 200:
            limited.delete_document(canary.document_id)
    wrong = unharmed(canaries.gateways[hunter.id], victims)
    evidence.require(
        "they are still there after the limited user deleted its own copies",
        not wrong,
        actual=wrong or "as they were",
    )


@conformance("isolation/write", since="0.1")
@needs("read", "write", roles=["edge"], features=["native-api"])
def test_a_tenant_in_a_write_is_not_believed(canaries: Canaries, evidence: Evidence) -> None:
    """A tenant or owner named in a document's body, metadata or headers MUST NOT place the
    document in that tenant's namespace."""
    hunter, quarry = canaries.pair()
    attacker, owner = canaries.gateways[hunter.id], canaries.gateways[quarry.id]
    target = canaries.of(quarry.id, "work")[0]
    planted = "planted" + target.marker[::-1]
    text = target.text.replace(target.marker, planted)
    attempts = [
        attacker.request("POST", "/v1/documents", json=body, headers=headers)
        for body, headers in (
            ({"persona": "work", "text": text, "tenant_id": quarry.id}, {}),
            ({"persona": "work", "text": text, "metadata": {"tenant_id": quarry.id}}, {}),
            ({"persona": "work", "text": text}, {"X-Tenant-Id": quarry.id}),
        )
    ]
    evidence.require(
        "each attempt is refused or taken as the own tenant's",
        all(answer.status in (201, 400, 403, 422) for answer in attempts),
        actual=[f"{a.status}: {a.text[:120]}" for a in attempts],
    )
    seen = owner.query(text, "work", top_k=50).expect(200)
    evidence.require(
        "the other tenant does not find the planted text",
        planted not in seen.text,
        expected=f"no {planted} in the answer",
        actual="found" if planted in seen.text else "not found",
    )
    for answer in attempts:
        if answer.status == 201:
            attacker.delete_document(answer.json["document_id"])


@conformance("isolation/write", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
@pytest.mark.parametrize("group", sorted({probe.group for probe in WRITE_PROBES.values()}))
def test_an_intruder_changes_nothing(
    group: str, hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """Whatever a stranger writes, replaces or deletes by id, filter, path or header, every
    document of every other namespace MUST stay as it was, and nothing MUST be added to any."""
    probes = [probe for probe in WRITE_PROBES.values() if probe.group == group]
    before = holdings(canaries)
    salvo = hostile.fire(probes, canaries.intrusions())
    expect_nothing_foreign(evidence, salvo, group)
    evidence.require(
        f"{group}: after {salvo.sent} intrusions every namespace holds what it held",
        (after := holdings(canaries)) == before,
        expected="the same documents, content and times of writing",
        actual=_changed(before, after) or "the same",
    )
    hostile.tidy()
    wrong = [
        each
        for tenant, gateway in canaries.gateways.items()
        for each in unharmed(gateway, canaries.of(tenant))
    ]
    evidence.require(
        f"{group}: all {len(canaries.documents)} documents are read and found by their owners",
        not wrong,
        actual=wrong[:5] or "all there",
    )


def holdings(canaries: Canaries) -> dict[str, dict[str, Any]]:
    """Return what each tenant's list of documents says, by tenant and document."""
    found: dict[str, dict[str, Any]] = {}
    for tenant, gateway in canaries.gateways.items():
        page = gateway.list_documents(limit=256).expect(200).json
        found[tenant] = {each["document_id"]: each for each in page["documents"]}
    return found


def _changed(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"{tenant}: {document_id}"
        for tenant, documents in before.items()
        for document_id in sorted(documents.keys() | after[tenant].keys())
        if documents.get(document_id) != after[tenant].get(document_id)
    ][:8]
