"""The deployment job brings about what is wanted, may run again, and refuses what it must not."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest
from gateway_servers import Child
from gateway_world import GATEWAY_PASSWORD, VECTORDB_KEY, World


@pytest.fixture
def store(world: World) -> httpx.Client:
    return httpx.Client(base_url=world.vectordb_url, headers={"api-key": VECTORDB_KEY}, timeout=10)


def state(world: World, store: httpx.Client) -> dict[str, Any]:
    """All that the job is in charge of, as far as it can be read back."""
    catalogue = (
        "SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class"
        " WHERE relname IN ('documents', 'chunks', 'vector_cleanup') ORDER BY relname"
    )
    roles = (
        "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcanlogin, rolbypassrls"
        " FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname"
    )
    policies = "SELECT tablename, policyname, qual, with_check FROM pg_policies ORDER BY tablename"
    names = [each["name"] for each in store.get("/collections").json()["result"]["collections"]]
    collections = {}
    for name in sorted(names):
        info = store.get(f"/collections/{name}").json()["result"]
        collections[name] = (info["config"]["params"]["vectors"], sorted(info["payload_schema"]))
    return {
        "tables": world.postgres.rows(catalogue),
        "roles": world.postgres.rows(roles),
        "policies": world.postgres.rows(policies),
        "collections": collections,
        "aliases": store.get("/aliases").json()["result"]["aliases"],
    }


def test_the_job_makes_what_is_agreed_and_changes_nothing_when_run_again(
    world: World, store: httpx.Client
) -> None:
    before = state(world, store)
    vectors, indexes = before["collections"]["rag-chunks-minilm-384"]
    assert (vectors["size"], vectors["distance"]) == (384, "Cosine")
    assert {"tenant_id", "persona", "document_id", "tier", "ingested_at"} <= set(indexes)
    assert before["aliases"] == [
        {"alias_name": "rag-chunks", "collection_name": "rag-chunks-wordllama-256"}
    ]
    schema = store.get("/collections/rag-chunks-wordllama-256").json()["result"]["payload_schema"]
    assert schema["tenant_id"]["params"]["is_tenant"] is True
    assert all(row[1] and row[2] for row in before["tables"]), "row-level security is forced"
    flags = {row[0]: row[1:] for row in before["roles"]}
    assert flags["rag_gateway"] == (False, False, False, True, False)
    assert flags["authenticated"] == (False, False, False, False, False)
    assert flags["service_role"] == (False, False, False, False, True)
    world.postgres.rows(
        "INSERT INTO documents (tenant_id, document_id, persona, body, content_sha256,"
        " embed_model) VALUES ('kept', 'd', 'work', 'x', '', 'm')"
    )
    status, said = world.migrate()
    assert status == 0, said
    assert state(world, store) == before
    assert world.postgres.rows("SELECT count(*) FROM documents WHERE tenant_id = 'kept'") == [(1,)]


@pytest.mark.parametrize("job", ["migrate", "reindex"])
def test_the_jobs_are_commands_that_end_with_status_2_for_a_bad_setting(
    world: World, job: str
) -> None:
    env = {"MIGRATE_DATABASE_URL": "x", "REINDEX_EMBED_MODEL": "x"}
    child = Child(["-m", f"refstack.gateway.{job}"], env, world.place / f"{job}.log")
    assert child.process.wait(20) == 2
    assert child.log().startswith(f"refstack.gateway.{job}: {job.upper()}_")


def test_a_role_that_was_widened_by_hand_is_narrow_again(world: World) -> None:
    world.postgres.rows("ALTER ROLE rag_gateway BYPASSRLS INHERIT CREATEROLE")
    world.postgres.rows("GRANT SELECT ON documents TO rag_gateway")
    world.postgres.rows("ALTER TABLE documents NO FORCE ROW LEVEL SECURITY")
    assert world.migrate()[0] == 0
    with (
        psycopg.connect(world.postgres.dsn("rag_gateway", GATEWAY_PASSWORD)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM documents")
    rows = world.postgres.rows(
        "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'public.documents'::regclass"
    )
    assert rows == [(True,)]


def test_the_table_owner_is_bound_by_row_level_security_too(world: World) -> None:
    world.postgres.rows("CREATE ROLE plain_owner NOLOGIN NOSUPERUSER")
    with psycopg.connect(world.postgres.dsn()) as connection:
        connection.execute("INSERT INTO documents (tenant_id, document_id, persona, body,"
                           " content_sha256, embed_model)"
                           " VALUES ('kept', 'e', 'work', 'x', '', 'm')")  # fmt: skip
        connection.execute("ALTER TABLE documents OWNER TO plain_owner")
        connection.execute("GRANT USAGE ON SCHEMA rag TO plain_owner")
        connection.execute("SET LOCAL ROLE plain_owner")
        assert connection.execute("SELECT * FROM documents").fetchall() == []
        connection.rollback()


def test_an_alias_that_is_there_is_never_moved(world: World, store: httpx.Client) -> None:
    before = store.get("/aliases").json()["result"]
    status, said = world.migrate(MIGRATE_EMBED_MODELS="minilm-384,wordllama-256")
    assert status == 0
    assert "points at rag-chunks-wordllama-256; not moved to rag-chunks-minilm-384" in said
    assert store.get("/aliases").json()["result"] == before


def test_a_collection_of_another_dimension_is_refused_and_left_alone(
    world: World, store: httpx.Client
) -> None:
    name = "strange-wordllama-256"
    wrong = {"vectors": {"size": 8, "distance": "Cosine"}}
    store.put(f"/collections/{name}", json=wrong).raise_for_status()
    status, said = world.migrate(GATEWAY_COLLECTION_ALIAS="strange")
    assert status == 1
    assert f"the collection {name} has vectors" in said
    assert "Traceback" not in said
    info = store.get(f"/collections/{name}").json()["result"]
    assert info["config"]["params"]["vectors"]["size"] == 8
    store.delete(f"/collections/{name}")


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"MIGRATE_EMBED_MODELS": "e5"}, 2, "MIGRATE_EMBED_MODELS holds 'e5'"),
        ({"MIGRATE_GATEWAY_PASSWORD": "short"}, 2, "MIGRATE_GATEWAY_PASSWORD holds a secret of 5"),
        (
            {"MIGRATE_DATABASE_URL": "postgresql://owner:unused@127.0.0.1:1/x"},
            1,
            "the database at MIGRATE_DATABASE_URL does not serve",
        ),
        ({"MIGRATE_VECTORDB_API_KEY": "wrong"}, 1, "the vector store refused"),
        (
            {"MIGRATE_VECTORDB_URL": "http://127.0.0.1:1"},
            1,
            "the vector store at MIGRATE_VECTORDB_URL does not serve",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    world: World, change: dict[str, str], status: int, says: str
) -> None:
    ended, said = world.migrate(**change)
    assert ended == status
    assert says in said.splitlines()[-1]
    assert "Traceback" not in said
