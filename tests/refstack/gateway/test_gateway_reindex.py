"""A collection is made to agree with the documents, and a new model's is filled from them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
from gateway_world import GATEWAY_PASSWORD, VECTORDB_KEY, Client, World, run_job

from refstack.gateway.reindex import main

User = Callable[..., Client]
COLLECTION = "/collections/rag-chunks-wordllama-256/points"


@pytest.fixture
def store(world: World) -> Iterator[httpx.Client]:
    headers = {"api-key": VECTORDB_KEY}
    with httpx.Client(base_url=world.vectordb_url, headers=headers, timeout=10) as client:
        yield client


def reindex(world: World, *arguments: str, **changes: str) -> tuple[int, str]:
    env = {
        "REINDEX_DATABASE_URL": world.postgres.dsn(),
        "REINDEX_VECTORDB_URL": world.vectordb_url,
        "REINDEX_VECTORDB_API_KEY": VECTORDB_KEY,
        "REINDEX_EMBED_URL": world.embed.url,
        "REINDEX_EMBED_API_KEY": "embed-key-for-tests",
        "REINDEX_EMBED_MODEL": "wordllama-256",
        **changes,
    }
    return run_job(main, env, *arguments)


def test_lost_points_come_back_and_orphans_go_but_a_write_under_way_is_left_alone(
    world: World, user: User, store: httpx.Client
) -> None:
    assert reindex(world)[0] == 0, "whatever other tests have left behind"
    ann = user()
    for n in range(3):
        ann.write(f"lamp number{n}", document_id=f"d{n}", metadata={"n": n})
    own = [p for p in world.points() if p["payload"]["tenant_id"] == ann.tenant]
    before = {point["id"]: point["payload"] for point in own}
    lost = next(iter(before))
    orphan, pending = str(uuid.uuid4()), str(uuid.uuid4())
    payload = {"tenant_id": ann.tenant, "persona": "work", "chunk_id": "none"}
    points = [{"id": name, "vector": [0.1] * 256, "payload": payload} for name in (orphan, pending)]
    store.post(f"{COLLECTION}/delete?wait=true", json={"points": [lost]}).raise_for_status()
    store.put(f"{COLLECTION}?wait=true", json={"points": points}).raise_for_status()
    world.postgres.rows(
        "INSERT INTO rag.vector_cleanup VALUES (gen_random_uuid(), %s, 'x', 'work', 'write',"
        " ARRAY[%s::uuid], now() + interval '1 hour')", ann.tenant, pending
    )  # fmt: skip
    assert len(ann.texts("lamp")) == 2

    status, said = reindex(world, "--check")
    assert status == 1
    assert "1 chunks without a point, 1 points without a chunk" in said
    status, said = reindex(world)
    assert status == 0, said
    assert "1 points removed" in said
    assert reindex(world, "--check")[0] == 0
    after = {
        p["id"]: p["payload"] for p in world.points() if p["payload"]["tenant_id"] == ann.tenant
    }
    assert after.pop(pending) == payload
    assert after == before
    assert len(ann.texts("lamp")) == 3
    store.post(f"{COLLECTION}/delete?wait=true", json={"points": [pending]}).raise_for_status()


def test_a_new_models_collection_is_filled_from_the_documents(world: World, user: User) -> None:
    ann = user()
    ann.write("the lamp is lit")
    status, said = reindex(world, REINDEX_EMBED_MODEL="minilm-384")
    assert status == 0, said
    canary = world.start_gateway(
        CANARY="1", GATEWAY_EMBED_MODEL="minilm-384", GATEWAY_EMBED_STABLE_MODEL="wordllama-256"
    )
    reader = user(tenant=ann.tenant, of=canary)
    answer = reader.query("lamp", headers={"X-Embed-Canary": "1"}).json()
    assert answer["embed_model"] == "minilm-384"
    assert [result["text"] for result in answer["results"]] == ["the lamp is lit"]


def test_what_has_its_point_already_is_not_embedded_again(
    world: World, user: User, store: httpx.Client
) -> None:
    assert reindex(world)[0] == 0, "whatever other tests have left behind"
    ann = user()
    for n in range(3):
        ann.write(f"lamp number{n}", document_id=f"d{n}")
    own = [p["id"] for p in world.points() if p["payload"]["tenant_id"] == ann.tenant]
    store.post(f"{COLLECTION}/delete?wait=true", json={"points": own[:1]}).raise_for_status()
    status, said = reindex(world, "--missing")
    assert status == 0 and "wordllama-256: 1 points written" in said
    assert len(ann.texts("lamp")) == 3
    assert "wordllama-256: 0 points written" in reindex(world, "--missing")[1]


def test_a_role_that_does_not_see_every_tenant_is_refused_before_anything_is_removed(
    world: World, user: User
) -> None:
    ann = user()
    ann.write("the lamp is lit")
    with psycopg.connect(world.postgres.dsn(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS half_blind")
        connection.execute("CREATE ROLE half_blind LOGIN IN ROLE authenticated INHERIT")
        connection.execute("GRANT USAGE ON SCHEMA rag TO half_blind")
    status, said = reindex(world, REINDEX_DATABASE_URL=world.postgres.dsn("half_blind"))
    assert status == 1
    assert "bound by row-level security" in said
    assert ann.texts("lamp") == ["the lamp is lit"]
    gateway = world.postgres.dsn("rag_gateway", GATEWAY_PASSWORD)
    assert reindex(world, REINDEX_DATABASE_URL=gateway)[0] == 1


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"REINDEX_EMBED_MODEL": "e5"}, 2, "REINDEX_EMBED_MODEL holds 'e5'"),
        ({"GATEWAY_COLLECTION_ALIAS": "nowhere"}, 1, "run refstack.gateway.migrate first"),
        ({"REINDEX_EMBED_URL": "http://127.0.0.1:1"}, 1, "the embedding worker does not serve"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    world: World, user: User, change: dict[str, str], status: int, says: str
) -> None:
    user().write("so that there is something to do")
    ended, said = reindex(world, **change)
    assert ended == status
    assert says in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_worker_that_answers_with_another_model_is_refused(world: World, user: User) -> None:
    user().write("so that there is something to do")
    world.embed.lie = "minilm-384"
    status, said = reindex(world)
    assert status == 1
    assert "vectors of two models cannot be compared" in said
