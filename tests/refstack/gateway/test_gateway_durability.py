"""What is acknowledged survives any kill, and what is half written never answers."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
import time
from collections.abc import Callable

import httpx
import psycopg
import pytest
from gateway_servers import until
from gateway_world import Client, Gateway, World

from refstack.gateway.metrics import UPSTREAMS

User = Callable[..., Client]


def documents_of(client: Client) -> dict[str, str]:
    """Every document of the user by its id, with its text, as the API gives it."""
    found: dict[str, str] = {}
    cursor: str | None = None
    while True:
        parameters = {"limit": 256, **({"cursor": cursor} if cursor else {})}
        page = client.call("GET", "/v1/documents", params=parameters).json()
        for listed in page["documents"]:
            name = listed["document_id"]
            found[name] = client.call("GET", f"/v1/documents/{name}").json()["text"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def assert_stores_agree(world: World, tenant: str) -> None:
    """Each chunk has its point and each point its chunk."""
    rows = world.postgres.rows(
        "SELECT chunk_id, point_id::text FROM chunks WHERE tenant_id = %s", tenant
    )
    points = [point for point in world.points() if point["payload"]["tenant_id"] == tenant]
    assert {(p["payload"]["chunk_id"], p["id"]) for p in points} == set(rows)


class Writer(threading.Thread):
    """Writes and replaces documents as fast as it can until its gateway is gone."""

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.prefix = name
        self.acknowledged: dict[str, str] = {}
        self.tried: dict[str, set[str]] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        for n in itertools.count():
            if self.stopped.is_set():
                return
            batch = {f"{self.prefix}-{(n + k) % 5}": f"{self.prefix} text {n} {k}" for k in (0, 1)}
            for name, text in batch.items():
                self.tried.setdefault(name, set()).add(text)
            documents = [
                {"persona": "work", "document_id": name, "text": f"{text}\n\n" + "pad " * 179}
                for name, text in batch.items()
            ]
            try:
                answer = self.client.call(
                    "POST", "/v1/documents/batch", json={"documents": documents}
                )
            except httpx.HTTPError:
                return
            if answer.status_code == 201:
                self.acknowledged.update(batch)


@pytest.mark.parametrize("after_s", [0.05, 0.17])
def test_kill_9_of_the_gateway_during_ingest_loses_nothing_and_leaves_no_half(
    world: World, gateway: Gateway, user: User, after_s: float
) -> None:
    doomed = world.start_gateway(process=True, GATEWAY_TIMEOUT_S="0.5")
    tenant = world.tenant()
    writers = [Writer(user(tenant=tenant, of=doomed), f"w{n}") for n in range(3)]
    for writer in writers:
        writer.start()
    until(lambda: all(writer.acknowledged for writer in writers), "all writers are under way")
    time.sleep(after_s)
    doomed.child.kill()
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive()

    reader = user(tenant=tenant, of=gateway)
    found = {name: text.split("\n")[0] for name, text in documents_of(reader).items()}
    for writer in writers:
        for name, text in writer.acknowledged.items():
            # What was acknowledged, or the whole of a later write whose answer was lost.
            assert found[name] in writer.tried[name]
            assert int(found[name].split()[2]) >= int(text.split()[2])
    for name, text in found.items():
        (top, *_) = reader.query(f"{text}", top_k=1, rerank=True).json()["results"]
        assert top["text"].startswith(text)
        assert top["document_id"] == name
    assert len(reader.texts("text pad", top_k=50)) <= 2 * len(found)

    world.start_gateway(GATEWAY_CLEANUP_S="0.2")
    until(
        lambda: (
            world.postgres.rows(
                "SELECT count(*) FROM rag.vector_cleanup WHERE tenant_id = %s", tenant
            )
            == [(0,)]
        ),
        "the next gateway cleans up",
    )
    assert_stores_agree(world, tenant)


def test_a_write_that_stopped_before_its_commit_never_answers_and_is_cleaned_up(
    world: World, user: User
) -> None:
    doomed = world.start_gateway(process=True, GATEWAY_TIMEOUT_S="1")
    ann = user(of=doomed)
    ann.write("the former text", document_id="d")
    with (
        psycopg.connect(world.postgres.dsn()) as lock,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        lock.execute("LOCK TABLE public.documents IN SHARE MODE")
        late = pool.submit(ann.write, "the later text", document_id="d")
        until(lambda: points_of(world, ann.tenant) == 2, "the points of the later write are there")
        doomed.child.kill()
        with pytest.raises(httpx.HTTPError):
            late.result(10)
        # A commit that the database has received goes through without its client.
        world.postgres.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
    ann = user(tenant=ann.tenant)
    assert ann.texts("text", top_k=5) == ["the former text"]
    world.start_gateway(GATEWAY_CLEANUP_S="0.2")
    until(lambda: points_of(world, ann.tenant) == 1, "the leftover point is removed")
    assert ann.texts("text") == ["the former text"]


def points_of(world: World, tenant: str) -> int:
    return sum(point["payload"]["tenant_id"] == tenant for point in world.points())


def test_a_write_that_was_given_up_cannot_be_committed_any_more(world: World, user: User) -> None:
    ann = user()
    ann.write("so the alias is known")
    listed = "FROM rag.vector_cleanup WHERE tenant_id = %s"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        world.embed.trouble = lambda _path: world.vectordb.pause()
        late = pool.submit(ann.write, "too slow", document_id="d")
        try:
            until(lambda: world.postgres.rows(f"SELECT 1 {listed}", ann.tenant), "it is announced")
            # As if its time were over and the clean-up of another gateway had come by.
            world.postgres.rows(f"DELETE {listed}", ann.tenant)
        finally:
            world.embed.trouble = None
            world.vectordb.resume()
        refused = late.result(10)
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:ragdrill:problem:metadata-unavailable"
    assert ann.texts("slow") == ["so the alias is known"]
    assert ann.call("GET", "/v1/documents/d").status_code == 404


def test_writes_to_one_document_at_once_leave_one_whole_version(world: World, user: User) -> None:
    ann = user()
    texts = [f"version{n} one\n\n" + "pad " * 179 for n in range(12)]

    def write(text: str) -> int:
        return ann.write(text, document_id="d").status_code

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert list(pool.map(write, texts)) == [201] * len(texts)
    assert documents_of(ann)["d"] in texts
    assert_stores_agree(world, ann.tenant)


def test_kill_9_of_the_vector_store_loses_no_acknowledged_document(
    world: World, user: User
) -> None:
    ann = user()
    for n in range(20):
        assert ann.write(f"kept number{n}", document_id=f"d{n}").status_code == 201
    world.vectordb.kill()
    answer = ann.query("kept")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    world.vectordb = world.start_vectordb()
    until(lambda: ann.query("kept").status_code == 200, "the gateway finds its store again")
    assert len(ann.texts("kept", top_k=50)) == 20


def test_a_restart_of_the_database_is_ridden_out(world: World, user: User) -> None:
    ann = user()
    ann.write("before the restart")
    world.postgres.stop()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ann.query, "restart") for _ in range(4)]
        world.postgres.start()
        assert [each.result(20).status_code for each in asked] == [200] * 4
    assert ann.write("after the restart").status_code == 201
    assert set(ann.texts("restart")) == {"before the restart", "after the restart"}


def test_breakers_close_again_after_every_part_was_away(gateway: Gateway) -> None:
    def still_open() -> list[str]:
        line = 'rag_gateway_breaker_open{{upstream="{}"}}'
        return [name for name in UPSTREAMS if gateway.metric(line.format(name))]

    until(lambda: gateway.http.get("/readyz").status_code == 200, "the gateway is ready")
    assert still_open() == []
