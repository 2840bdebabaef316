"""Documents are written, found, replaced, read back and deleted, in both stores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from gateway_servers import until
from gateway_world import Client, World

User = Callable[..., Client]


def own_points(world: World, tenant: str) -> list[dict[str, Any]]:
    """Payloads of a tenant's points."""
    payloads = [point["payload"] for point in world.points()]
    return [payload for payload in payloads if payload["tenant_id"] == tenant]


def test_a_written_document_is_found_and_stands_in_both_stores(world: World, user: User) -> None:
    ann = user()
    written = ann.write("The kettle boils at dawn.", document_id="kettle", metadata={"year": 2024})
    assert written.status_code == 201
    assert written.json() == {"document_id": "kettle", "chunks": 1, "embed_model": "wordllama-256"}
    answer = ann.query("kettle dawn").json()
    assert answer["degraded"] is None
    assert answer["embed_model"] == "wordllama-256"
    result = answer["results"][0]
    assert result["text"] == "The kettle boils at dawn."
    assert result["document_id"] == "kettle"
    assert result["metadata"] == {"year": 2024}
    (payload,) = own_points(world, ann.tenant)
    assert payload["chunk_id"] == result["chunk_id"]
    assert payload["meta"] == {"year": 2024}
    names = {"tenant_id", "persona", "document_id", "chunk_id", "ingested_at", "tier", "meta"}
    assert set(payload) == names
    rows = world.postgres.rows(
        "SELECT chunk_id, persona FROM chunks WHERE tenant_id = %s", ann.tenant
    )
    assert rows == [(result["chunk_id"], "work")]


def test_a_long_document_becomes_several_chunks_that_are_found_each(user: User) -> None:
    ann = user()
    paragraphs = [f"Section {word}. " + "filler " * 100 for word in ("alpha", "beta", "gamma")]
    assert ann.write("\n\n".join(paragraphs)).json()["chunks"] == 3
    for word in ("alpha", "beta", "gamma"):
        assert f"Section {word}" in ann.texts(f"section {word}", top_k=1)[0]


def test_top_k_rerank_and_scores(user: User) -> None:
    ann = user()
    batch = [{"persona": "work", "text": f"apple number{n}."} for n in range(30)]
    assert ann.call("POST", "/v1/documents/batch", json={"documents": batch}).status_code == 201
    for rerank in (True, False):
        results = ann.query("apple number7", top_k=7, rerank=rerank).json()["results"]
        scores = [result["score"] for result in results]
        assert len(results) == 7
        assert scores == sorted(scores, reverse=True)
        assert "number7." in results[0]["text"]
    assert len(ann.query("apple", top_k=50).json()["results"]) == 30


def test_reranking_is_done_in_batches_of_the_size_that_is_set(world: World, user: User) -> None:
    gateway = world.start_gateway(GATEWAY_RERANK_BATCH="4")
    ann = user(of=gateway)
    batch = [{"persona": "work", "text": f"plum number{n}"} for n in range(10)]
    assert ann.call("POST", "/v1/documents/batch", json={"documents": batch}).status_code == 201
    world.rerank.seen.clear()
    results = ann.query("plum number9", top_k=10).json()["results"]
    assert sorted(len(body["texts"]) for _, _, body in world.rerank.seen) == [2, 4, 4]
    assert results[0]["text"] == "plum number9"
    assert {result["text"] for result in results} == {f"plum number{n}" for n in range(10)}


def test_a_filter_matches_metadata_by_equality_only(user: User) -> None:
    ann = user()
    for year, done in ((2023, True), (2024, False)):
        ann.write(f"Report of {year}", metadata={"year": year, "done": done, "kind": "report"})
    assert ann.texts("report", filter={"year": 2023}) == ["Report of 2023"]
    assert ann.texts("report", filter={"done": False, "kind": "report"}) == ["Report of 2024"]
    assert ann.texts("report", filter={"year": "2023"}) == []
    assert ann.texts("report", filter={"tenant_id": ann.tenant}) == []
    refused = ann.query("report", filter={"year": {"gte": 2000}})
    assert refused.status_code == 422
    assert refused.json()["errors"]


def test_posting_an_id_again_replaces_the_document_and_its_chunks(world: World, user: User) -> None:
    ann = user()
    long_text = "\n\n".join(f"old paragraph {n} " + "filler " * 120 for n in range(4))
    assert ann.write(long_text, document_id="d", tier="cold").json()["chunks"] == 4
    assert ann.write("new paragraph", document_id="d").json()["chunks"] == 1
    assert ann.texts("paragraph", top_k=20) == ["new paragraph"]
    (payload,) = own_points(world, ann.tenant)
    assert payload["tier"] == "hot"
    assert world.postgres.rows(
        "SELECT count(*) FROM rag.vector_cleanup WHERE tenant_id = %s", ann.tenant
    ) == [(0,)]


def test_a_document_may_move_to_another_persona_of_the_same_user(world: World, user: User) -> None:
    ann = user("work", "home")
    ann.write("a moving text", document_id="d")
    assert ann.write("a moving text", document_id="d", persona="home").status_code == 201
    assert ann.texts("moving", persona="work") == []
    assert ann.texts("moving", persona="home") == ["a moving text"]
    assert [payload["persona"] for payload in own_points(world, ann.tenant)] == ["home"]


def test_a_document_is_read_back_as_it_was_posted(user: User) -> None:
    ann = user()
    text = "  First line.\r\n\n\nSecond: ünï 🙂 'quoted' \"%s\" \\ ; --  "
    ann.write(text, document_id="d", metadata={"a": 1, "b": "x'y", "c": True, "d": 1.5})
    document = ann.call("GET", "/v1/documents/d").json()
    assert document["text"] == text
    assert document["content_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert document["metadata"] == {"a": 1, "b": "x'y", "c": True, "d": 1.5}
    assert document["chunks"] == 1
    assert document["persona"] == "work"


def test_documents_are_listed_page_by_page_each_once(user: User) -> None:
    ann = user("work", "home")
    wanted = sorted(f"{letter}-{n}" for letter in "bAa" for n in range(4))
    batch = [
        {"persona": "home" if name.startswith("b") else "work", "text": "t", "document_id": name}
        for name in wanted
    ]
    ann.call("POST", "/v1/documents/batch", json={"documents": batch})
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        parameters = {"limit": 5, **({"cursor": cursor} if cursor else {})}
        page = ann.call("GET", "/v1/documents", params=parameters).json()
        seen += [document["document_id"] for document in page["documents"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == wanted
    home = ann.call("GET", "/v1/documents", params={"persona": "home"}).json()
    assert {document["persona"] for document in home["documents"]} == {"home"}
    for bad in ({"limit": 0}, {"limit": "x"}, {"cursor": "%"}, {"tenant_id": "x"}):
        assert ann.call("GET", "/v1/documents", params=bad).status_code == 422


def test_a_deleted_document_is_gone_from_both_stores(world: World, user: User) -> None:
    ann = user()
    ann.write("short lived", document_id="d")
    assert ann.call("DELETE", "/v1/documents/d").status_code == 204
    assert ann.texts("short lived") == []
    assert ann.call("GET", "/v1/documents/d").status_code == 404
    assert ann.call("DELETE", "/v1/documents/d").status_code == 404
    assert own_points(world, ann.tenant) == []
    rows = "SELECT count(*) FROM {} WHERE tenant_id = %s"
    for table in ("documents", "chunks", "rag.vector_cleanup"):
        assert world.postgres.rows(rows.format(table), ann.tenant) == [(0,)]


def test_a_delete_that_could_not_reach_the_vectors_is_taken_up_again(
    world: World, user: User
) -> None:
    ann = user(of=world.start_gateway(GATEWAY_TIMEOUT_S="0.8"))
    ann.write("lingering", document_id="d")
    world.vectordb.pause()
    try:
        refused = ann.call("DELETE", "/v1/documents/d")
    finally:
        world.vectordb.resume()
    assert refused.status_code == 503
    assert own_points(world, ann.tenant) != []
    assert ann.texts("lingering") == []
    assert ann.call("DELETE", "/v1/documents/d").status_code == 204
    assert own_points(world, ann.tenant) == []
    assert ann.call("DELETE", "/v1/documents/d").status_code == 404


def test_a_batch_is_written_with_one_embedding_call_and_all_or_nothing(
    world: World, user: User
) -> None:
    ann = user()
    batch = [{"persona": "work", "text": f"text {n}", "document_id": f"d{n}"} for n in range(256)]
    world.embed.seen.clear()
    written = ann.call("POST", "/v1/documents/batch", json={"documents": batch})
    assert written.status_code == 201
    assert [receipt["document_id"] for receipt in written.json()["documents"]] == [
        f"d{n}" for n in range(256)
    ]
    assert [len(b["input"]) for path, _, b in world.embed.seen if "embeddings" in path] == [256]

    bob = user("work")
    batch = [{"persona": "work", "text": "fine"}, {"persona": "home", "text": "not mine"}]
    assert bob.call("POST", "/v1/documents/batch", json={"documents": batch}).status_code == 403
    batch = [{"persona": "work", "text": "fine"}, {"persona": "work", "text": ""}]
    assert bob.call("POST", "/v1/documents/batch", json={"documents": batch}).status_code == 422
    assert bob.call("POST", "/v1/documents/batch", json={"documents": []}).status_code == 422
    assert own_points(world, bob.tenant) == []
    assert bob.call("GET", "/v1/documents").json()["documents"] == []


@pytest.mark.parametrize("failing", ["embed", "vectordb"])
def test_a_write_that_fails_midway_leaves_nothing_that_answers_or_stays(
    world: World, user: User, failing: str
) -> None:
    gateway = world.start_gateway(GATEWAY_TIMEOUT_S="1", GATEWAY_CLEANUP_S="0.3")
    ann = user(of=gateway)
    ann.write("the former text", document_id="d")
    if failing == "embed":
        world.embed.trouble = lambda _path: 500
        refused = ann.write("the later text", document_id="d")
        world.embed.trouble = None
    else:
        world.vectordb.pause()
        try:
            refused = ann.write("the later text", document_id="d")
        finally:
            world.vectordb.resume()
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert until(lambda: ann.query("text").status_code == 200, "the gateway recovers")
    assert ann.texts("text") == ["the former text"]
    until(lambda: len(own_points(world, ann.tenant)) == 1, "leftovers are removed")
    assert ann.texts("text") == ["the former text"]
