"""embed/no-mixed-space: answers come from vectors of the model that embedded the question."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import (
    CreateAlias,
    CreateAliasOperation,
    DeleteAlias,
    DeleteAliasOperation,
)

from fixtures.faults import Inject
from fixtures.stores import ALIAS
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.gateway_http import Answer, GatewayClient

SUBJECTS = (
    "The lighthouse keeper trims the lamp at dusk and writes the hour into the book.",
    "Invoices that are older than sixty days go to the collections desk in Lyon.",
    "The turbine hall is inspected for hairline cracks before every winter.",
    "New hires get a badge, a laptop and a desk plant on their first morning.",
    "Sourdough needs a night in the cold and a very hot oven the next day.",
    "The ferry to the island leaves at seven and takes bicycles free of charge.",
)
ASKED = 3
KNOWN_S = 1.5
"""The reference gateway asks for the alias once a second; one that is slower answers
from the space that it still knows, which is the right one."""

FAULTS: dict[str, list[tuple[str, dict[str, object]]]] = {
    "the worker answers from another model": [
        ("http-embedding-space", {"link": "gateway-embed"}),
    ],
    "the fallback answers from another model": [
        ("http-status", {"link": "gateway-embed", "status": 500}),
        ("http-embedding-space", {"link": "gateway-fallback"}),
    ],
    "the fallback answers with another dimension": [
        ("http-status", {"link": "gateway-embed", "status": 500}),
        ("http-embedding-dimension", {"link": "gateway-fallback", "change": 128}),
    ],
}


@dataclass(frozen=True)
class Library:
    """A tenant with a few documents on very different subjects, and what questions about them
    answer on the sound stack."""

    gateway: GatewayClient
    sound: dict[str, list[str]]

    def ask(self, question: str) -> Answer:
        """Ask without a reranker, which would put a bad search right."""
        return self.gateway.query(question, "work", top_k=ASKED, rerank=False)


def found(answer: Answer) -> list[str]:
    """Return the documents of an answer, best first."""
    return [result["document_id"] for result in answer.expect(200).json["results"]]


@pytest.fixture(scope="module")
def library(new_tenant: Callable[..., Tenant], connect: Connect) -> Iterator[Library]:
    """A tenant's documents, written and asked for while all is well."""
    gateway = connect(new_tenant("library", ("work",)).token)
    documents = [
        {"document_id": f"subject-{number}", "persona": "work", "text": text, "metadata": {}}
        for number, text in enumerate(SUBJECTS)
    ]
    gateway.put_documents(documents).expect(201)
    made = Library(gateway, {})
    for question in SUBJECTS:
        made.sound[question] = found(made.ask(question))
    yield made


@conformance("embed/no-mixed-space", since="0.2")
@needs("read", "write", "fault", roles=["edge", "embed", "fallback", "faultproxy"])
@pytest.mark.parametrize("how", FAULTS)
def test_vectors_of_another_space_are_never_searched_with(
    how: str, library: Library, faults: Inject, evidence: Evidence
) -> None:
    """While an embedding provider answers with another model's vectors, every query MUST be
    refused or answered as by the right model, and every write refused or found by the right one."""
    written: list[str] = []
    with ExitStack() as broken:
        for slug, arguments in FAULTS[how]:
            broken.enter_context(faults(slug, **arguments))
        answers = {question: library.ask(question) for question in SUBJECTS}
        for number, text in enumerate(SUBJECTS):
            key = f"late-{list(FAULTS).index(how)}-{number}"
            if library.gateway.put_document("work", f"{text} Again.", document_id=key).status < 300:
                written.append(key)
    mixed = {
        question: found(answer)
        for question, answer in answers.items()
        if answer.status == 200 and found(answer) != library.sound[question]
    }
    refused = sum(answer.status != 200 for answer in answers.values())
    evidence.require(
        f"{how}: every query is refused or answered from its own model's space",
        not mixed,
        expected="a refusal, or the documents that the right model finds",
        actual=mixed or f"{refused} of {len(answers)} refused",
    )
    refusals = [answer for answer in answers.values() if answer.status != 200]
    evidence.require(
        f"{how}: a refusal says that it is one, and when to come back",
        all(answer.status == 503 and answer.headers.get("Retry-After") for answer in refusals),
        expected="503 with Retry-After",
        actual=sorted({answer.status for answer in refusals}) or "none refused",
    )
    lost = [key for key in written if key not in found_by_its_text(library, key)]
    for key in written:
        library.gateway.delete_document(key)
    evidence.require(
        f"{how}: what was written meanwhile is found by its own text, or was refused",
        not lost,
        expected="in the right space",
        actual=lost or f"{len(written)} of {len(SUBJECTS)} accepted",
    )


def found_by_its_text(library: Library, key: str) -> list[str]:
    """Return what the sound stack answers to the very text of a document written meanwhile."""
    text = library.gateway.get_document(key).expect(200).json["text"]
    return found(library.ask(text))


@conformance("embed/no-mixed-space", since="0.2")
@needs("read", "write", "fault", roles=["edge", "vectordb"])
def test_an_alias_that_points_at_another_model_is_refused(
    library: Library, vectordb: QdrantClient, evidence: Evidence
) -> None:
    """While the alias points at a collection of another model, every query MUST be refused or
    answered from the vectors of the model that embedded it."""
    here = next(a for a in vectordb.get_aliases().aliases if a.alias_name == ALIAS)
    others = [
        each.name
        for each in vectordb.get_collections().collections
        if each.name.startswith(f"{ALIAS}-") and each.name != here.collection_name
    ]
    evidence.require(
        "there is a collection of another model to point at",
        bool(others),
        expected=f"a collection {ALIAS}-<model> beside {here.collection_name}",
        actual=others or "none",
    )
    try:
        point_alias(vectordb, others[0])
        # Asked at once and once more when the gateway can no longer take the old alias as known.
        answers = [library.ask(question) for question in SUBJECTS]
        time.sleep(KNOWN_S)
        answers += [library.ask(question) for question in SUBJECTS]
        write = library.gateway.put_document("work", "Written astray.", document_id="astray")
    finally:
        point_alias(vectordb, here.collection_name)
    wrong = [
        found(answer)
        for answer, question in zip(answers, SUBJECTS * 2, strict=True)
        if answer.status == 200 and found(answer) != library.sound[question]
    ]
    evidence.require(
        "every query is refused or answered from its own model's space",
        not wrong,
        expected="a refusal, or the documents that the right model finds",
        actual=wrong or sorted({answer.status for answer in answers}),
    )
    evidence.require(
        "a write is refused, or found once the alias is right again",
        write.status != 201 or "astray" in found(library.ask("Written astray.")),
        expected="503, or in the right space",
        actual=write.status,
    )
    library.gateway.delete_document("astray")


def point_alias(vectordb: QdrantClient, collection: str) -> None:
    """Move the alias in one step."""
    vectordb.update_collection_aliases(
        change_aliases_operations=[
            DeleteAliasOperation(delete_alias=DeleteAlias(alias_name=ALIAS)),
            CreateAliasOperation(
                create_alias=CreateAlias(collection_name=collection, alias_name=ALIAS)
            ),
        ]
    )
