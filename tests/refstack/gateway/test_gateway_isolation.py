"""No answer, write or error reaches over to another tenant or persona."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest
from gateway_servers import words_to_vector
from gateway_world import GATEWAY_PASSWORD, VECTORDB_KEY, Client, World

User = Callable[..., Client]
SECRET = "the vault code is violet"


@pytest.fixture
def eve(user: User) -> Client:
    """Who wants to see what is not hers."""
    return user("work")


@pytest.fixture
def ann(user: User) -> Client:
    """Who has something to hide, under the same persona and document id that Eve uses."""
    ann = user("work", "home")
    assert ann.write(SECRET, document_id="vault").status_code == 201
    assert ann.write("the diary is violet", document_id="diary", persona="home").status_code == 201
    return ann


def test_another_tenants_documents_are_never_found(ann: Client, eve: Client) -> None:
    eve.write("something of my own, violet", document_id="own")
    for top_k in (1, 50):
        for rerank in (True, False):
            found = eve.texts("vault code violet", top_k=top_k, rerank=rerank)
            assert found == ["something of my own, violet"]


def test_another_persona_of_the_same_tenant_is_403_and_never_found(
    world: World, user: User, ann: Client
) -> None:
    narrow = user("work", tenant=ann.tenant)
    assert narrow.texts("diary violet", top_k=50) == [SECRET]
    for refused in (
        narrow.query("diary", persona="home"),
        narrow.write("x", persona="home"),
        narrow.call("GET", "/v1/documents", params={"persona": "home"}),
    ):
        assert refused.status_code == 403
    assert narrow.call("GET", "/v1/documents/diary").status_code == 404
    assert narrow.call("DELETE", "/v1/documents/diary").status_code == 404
    listed = narrow.call("GET", "/v1/documents").json()["documents"]
    assert [document["document_id"] for document in listed] == ["vault"]
    taken = narrow.write("mine now", document_id="diary")
    assert taken.status_code == 409
    assert "home" not in taken.text
    assert ann.texts("diary violet", persona="home") == ["the diary is violet"]


@pytest.mark.parametrize(
    "attempt",
    [
        {"headers": {"X-Tenant-Id": "{tenant}", "X-Persona": "home"}},
        {"params": {"tenant_id": "{tenant}", "persona": "home"}},
        {"headers": {"Cookie": "tenant_id={tenant}"}},
        {"body": {"filter": {"tenant_id": "{tenant}"}}},
        {"body": {"filter": {"persona": "home"}}},
        {"body": {"tenant_id": "{tenant}"}},
        {"body": {"app_metadata": {"tenant_id": "{tenant}"}}},
        {"body": {"filter": {"must": [], "should": [{"key": "tenant_id"}]}}},
        {"body": {"filter": {"tenant_id": {"any": ["{tenant}"]}}}},
    ],
)
def test_nothing_else_in_a_request_widens_it(
    ann: Client, eve: Client, attempt: dict[str, Any]
) -> None:
    attempt = json.loads(json.dumps(attempt).replace("{tenant}", ann.tenant))
    body = {"query": "vault code violet", "persona": "work", "top_k": 50, **attempt.pop("body", {})}
    answer = eve.call("POST", "/v1/query", json=body, **attempt)
    assert answer.status_code in (200, 422)
    assert answer.status_code == 422 or answer.json()["results"] == []
    assert "violet" not in answer.text


def test_a_foreign_document_id_behaves_exactly_like_an_absent_one(
    world: World, ann: Client, eve: Client
) -> None:
    def shape(method: str, name: str) -> tuple[int, dict[str, Any]]:
        answer = eve.call(method, f"/v1/documents/{name}")
        body = answer.json()
        del body["trace_id"], body["instance"]
        return answer.status_code, body

    for method in ("GET", "DELETE"):
        assert shape(method, "vault") == shape(method, "never-was")
    written = eve.write("my own vault", document_id="vault")
    fresh = eve.write("my own vault", document_id="never-was")
    assert written.status_code == fresh.status_code == 201
    assert written.json() | {"document_id": ""} == fresh.json() | {"document_id": ""}
    assert eve.call("DELETE", "/v1/documents/vault").status_code == 204
    assert ann.texts("vault code") == [SECRET]
    points = {point["payload"]["tenant_id"] for point in world.points()}
    assert ann.tenant in points


def test_a_point_that_claims_a_foreign_chunk_does_not_answer(
    world: World, ann: Client, eve: Client
) -> None:
    stolen = ann.query("vault code").json()["results"][0]["chunk_id"]
    point = {
        "id": str(uuid.uuid4()),
        "vector": words_to_vector("vault code", 256),
        "payload": {
            "tenant_id": eve.tenant,
            "persona": "work",
            "document_id": "vault",
            "chunk_id": stolen,
        },
    }
    planted = httpx.put(
        f"{world.vectordb_url}/collections/rag-chunks-wordllama-256/points?wait=true",
        json={"points": [point]},
        headers={"api-key": VECTORDB_KEY},
        timeout=10,
    )
    assert planted.status_code == 200
    assert eve.texts("vault code", top_k=50) == []


def test_errors_do_not_repeat_what_was_sent(eve: Client) -> None:
    refused = eve.call("POST", "/v1/query", json={"query": "q", "persona": "work", "extra": SECRET})
    assert refused.status_code == 422
    assert SECRET not in refused.text


def as_gateway(world: World) -> psycopg.Connection[Any]:
    return psycopg.connect(world.postgres.dsn("rag_gateway", GATEWAY_PASSWORD), autocommit=True)


def test_the_gateways_role_reads_nothing_by_itself(world: World, ann: Client) -> None:
    with as_gateway(world) as connection:
        for table in ("documents", "chunks", "rag.vector_cleanup"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {table}")
        for role in ("service_role", "owner", "rag_auth"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SET ROLE {role}")


@pytest.mark.parametrize(
    "claims",
    [
        None,
        "",
        "{}",
        '{"app_metadata": {"tenant_id": "TENANT"}}',
        '{"app_metadata": {"tenant_id": "TENANT", "personas": []}}',
        '{"app_metadata": {"personas": ["work"]}}',
        '{"user_metadata": {"tenant_id": "TENANT", "personas": ["work"]}}',
        '{"app_metadata": {"tenant_id": "other", "personas": ["work"]}}',
    ],
)
def test_row_level_security_shows_nothing_without_fitting_claims(
    world: World, ann: Client, claims: str | None
) -> None:
    with as_gateway(world) as connection, connection.transaction():
        connection.execute("SET LOCAL ROLE authenticated")
        if claims is not None:
            claims = claims.replace("TENANT", ann.tenant)
            connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
        for table in ("documents", "chunks", "rag.vector_cleanup"):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []


def test_row_level_security_lets_no_row_into_another_tenant(world: World, ann: Client) -> None:
    claims = json.dumps({"app_metadata": {"tenant_id": "thief", "personas": ["work"]}})
    with as_gateway(world) as connection:
        for sql in (
            "INSERT INTO documents (tenant_id, document_id, persona, body, content_sha256,"
            f" embed_model) VALUES ('{ann.tenant}', 'new', 'work', 'x', '', 'm')",
            "INSERT INTO chunks (tenant_id, chunk_id, document_id, persona, position, point_id,"
            f" text) VALUES ('{ann.tenant}', 'new', 'vault', 'work', 9, gen_random_uuid(), 'x')",
        ):
            with pytest.raises(psycopg.errors.DatabaseError), connection.transaction():
                connection.execute("SET LOCAL ROLE authenticated")
                connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
                connection.execute(sql)
        with connection.transaction():
            connection.execute("SET LOCAL ROLE authenticated")
            connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
            for sql in ("UPDATE documents SET body = 'x'", "DELETE FROM documents"):
                assert connection.execute(sql).rowcount == 0
    assert ann.texts("vault code") == [SECRET]


def test_metrics_and_logs_name_no_tenant_and_hold_no_text(world: World, user: User) -> None:
    gateway = world.start_gateway(process=True)
    ann, eve = user(of=gateway), user(of=gateway)
    ann.write(SECRET, document_id="vault")
    ann.texts("vault code violet")
    ann.call("GET", "/v1/documents/vault")
    eve.call("GET", f"/v1/documents/{ann.tenant}")
    eve.call("POST", "/v1/query", content=b"{violet")
    world.embed.trouble = lambda _path: 500
    assert ann.query("vault code violet").status_code == 503
    assert '"event":"request"' in gateway.child.log()
    told = gateway.http.get("/metrics").text + gateway.child.log()
    token = ann.headers["Authorization"].split(".")[1]
    for secret in (ann.tenant, eve.tenant, "vault", "violet", token, GATEWAY_PASSWORD):
        assert secret not in told
