"""With a part missing the gateway says so, answers what it can, and never hangs or mixes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from gateway_servers import EmbedStandIn, until
from gateway_world import Client, World

User = Callable[..., Client]


@pytest.fixture
def with_fallback(world: World) -> dict[str, str]:
    return {
        "GATEWAY_EMBED_FALLBACK_URL": world.fallback.url,
        "GATEWAY_EMBED_FALLBACK_API_KEY": "fallback-key-for-tests",
    }


def test_a_failing_embedder_is_replaced_by_the_fallback_and_the_answer_says_so(
    world: World, user: User, with_fallback: dict[str, str]
) -> None:
    gateway = world.start_gateway(**with_fallback)
    ann = user(of=gateway)
    ann.write("the lamp is lit", document_id="d")
    assert ann.query("lamp").json()["degraded"] is None
    world.embed.trouble = lambda _path: 500
    for _ in range(7):
        answer = ann.query("lamp").json()
        assert answer["degraded"] == ["embed_fallback"]
        assert answer["results"][0]["text"] == "the lamp is lit"
    assert gateway.metric('rag_gateway_breaker_open{upstream="embed"}') == 1
    assert gateway.metric('rag_gateway_degraded_total{reason="embed_fallback"}') == 7
    tried = gateway.metric('rag_gateway_upstream_errors_total{kind="status",upstream="embed"}')
    assert tried == 5, "an open breaker leaves the worker alone"
    assert ann.write("the lamp is out").status_code == 201
    world.embed.trouble = None
    until(lambda: ann.query("lamp").json()["degraded"] is None, "the worker is used again")
    assert gateway.metric('rag_gateway_breaker_open{upstream="embed"}') == 0


def test_a_failing_embedder_without_a_fallback_is_503(world: World, user: User) -> None:
    ann = user()
    world.embed.trouble = lambda _path: 500
    answer = ann.query("lamp")
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:ragdrill:problem:embed-unavailable"
    assert answer.headers["Retry-After"]


def test_all_embedding_can_be_sent_to_the_fallback(
    world: World, user: User, with_fallback: dict[str, str]
) -> None:
    gateway = world.start_gateway(GATEWAY_EMBED_PROVIDER="fallback", **with_fallback)
    ann = user(of=gateway)
    world.embed.seen.clear()
    world.fallback.seen.clear()
    ann.write("the lamp is lit")
    assert ann.query("lamp").json()["degraded"] == ["embed_fallback"]
    assert world.embed.seen == []
    keys = {headers["authorization"] for _, headers, _ in world.fallback.seen}
    assert keys == {"Bearer fallback-key-for-tests"}
    assert gateway.http.get("/healthz").json()["embed_provider"] == "fallback"


@pytest.mark.parametrize("liar", ["local", "fallback"])
def test_vectors_of_another_model_are_never_searched_with(
    world: World, user: User, with_fallback: dict[str, str], liar: str
) -> None:
    provider = "fallback" if liar == "fallback" else "local"
    gateway = world.start_gateway(GATEWAY_EMBED_PROVIDER=provider, **with_fallback)
    ann = user(of=gateway)
    stand_in: EmbedStandIn = world.fallback if liar == "fallback" else world.embed
    stand_in.lie = "minilm-384"
    for refused in (ann.query("lamp"), ann.write("the lamp is lit")):
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:ragdrill:problem:embedding-space-mismatch"
    assert not [p for p in world.points() if p["payload"]["tenant_id"] == ann.tenant]


def test_without_the_reranker_the_order_of_the_search_is_answered(world: World, user: User) -> None:
    gateway = world.start_gateway()
    ann = user(of=gateway)
    for n in range(4):
        ann.write(f"lamp {'wick ' * n}")
    world.rerank.trouble = lambda _path: 500
    answer = ann.query("lamp").json()
    assert answer["degraded"] == ["rerank_unavailable"]
    assert answer["results"] == ann.query("lamp", rerank=False).json()["results"]
    assert gateway.metric('rag_gateway_degraded_total{reason="rerank_unavailable"}') == 1
    world.rerank.trouble = None
    assert ann.query("lamp").json()["degraded"] is None


def test_one_bad_connection_is_tried_again_and_costs_nothing(world: World, user: User) -> None:
    ann = user(of=world.start_gateway())
    failures = iter([502, 503])
    world.embed.trouble = lambda path: next(failures, None) if "embeddings" in path else None
    assert ann.query("lamp").json()["degraded"] is None


def test_an_upstream_that_hangs_costs_its_timeout_and_no_more(world: World, user: User) -> None:
    gateway = world.start_gateway(GATEWAY_TIMEOUT_S="0.8")
    ann = user(of=gateway)
    ann.write("the lamp is lit")

    def hang(_path: str) -> None:
        time.sleep(2.5)

    world.embed.trouble = hang
    begun = time.monotonic()
    refused = ann.query("lamp")
    assert refused.status_code == 503
    assert time.monotonic() - begun < 2.4, "the budget, not the upstream, decides"
    world.embed.trouble = None
    assert ann.query("lamp").status_code == 200


def test_a_database_that_hangs_is_503_within_the_budget_and_recovers(
    world: World, user: User
) -> None:
    gateway = world.start_gateway(GATEWAY_TIMEOUT_S="0.8")
    ann = user(of=gateway)
    ann.write("the lamp is lit")
    with psycopg.connect(world.postgres.dsn()) as lock:
        lock.execute("LOCK TABLE public.chunks IN ACCESS EXCLUSIVE MODE")
        refused = ann.query("lamp")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert ann.texts("lamp") == ["the lamp is lit"]


def test_tokens_are_verified_with_known_keys_while_auth_is_away(world: World, user: User) -> None:
    gateway = world.start_gateway()
    ann = user(of=gateway)
    world.auth.trouble = lambda _path: 500
    seen = len(world.auth.seen)
    until(lambda: len(world.auth.seen) > seen, "the gateway has asked for the keys again")
    assert ann.query("lamp").status_code == 200
    assert gateway.http.get("/readyz").status_code == 200


def test_a_gateway_that_never_had_keys_is_not_ready_and_answers_503(
    world: World, user: User
) -> None:
    world.auth.trouble = lambda _path: 500
    gateway = world.start_gateway(ready=False)
    ready = gateway.http.get("/readyz")
    assert ready.status_code == 503
    assert "auth" in ready.json()["dependencies"]
    assert user(of=gateway).query("lamp").status_code == 503
    world.auth.trouble = None
    until(lambda: gateway.http.get("/readyz").status_code == 200, "the keys have come")


def reason(gateway: Any, part: str) -> str:
    answer = gateway.http.get("/readyz")
    assert answer.status_code == 503
    return str(answer.json()["dependencies"][part])


def test_readiness_names_a_missing_model_and_a_missing_collection(world: World) -> None:
    world.embed.models = ("minilm-384",)
    try:
        gateway = world.start_gateway(ready=False)
        assert "wordllama-256" in until(lambda: reason(gateway, "embed"), "a reason")
    finally:
        world.embed.models = ("wordllama-256", "minilm-384")
    nowhere = world.start_gateway(ready=False, GATEWAY_COLLECTION_ALIAS="nowhere")
    assert "nowhere points at nothing" in reason(nowhere, "vectordb")


def test_more_requests_than_can_be_served_are_refused_at_once_and_only_those(
    world: World, user: User
) -> None:
    gateway = world.start_gateway(GATEWAY_MAX_INFLIGHT="2")
    ann = user(of=gateway)
    ann.write("the lamp is lit")
    held, go_on = threading.Semaphore(0), threading.Event()

    def hold(path: str) -> None:
        if "embeddings" in path:
            held.release()
            go_on.wait(1.5)

    world.embed.trouble = hold
    with ThreadPoolExecutor(2) as both:
        inside = [both.submit(ann.query, "lamp") for _ in range(2)]
        assert held.acquire(timeout=5)
        assert held.acquire(timeout=5)
        refused = ann.query("lamp")
        assert gateway.http.get("/healthz").status_code == 200, "health is no request to shed"
        go_on.set()
        assert [answer.result(10).status_code for answer in inside] == [200, 200]
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:ragdrill:problem:overloaded"
    assert refused.headers["Retry-After"]
    assert gateway.metric("rag_gateway_shed_total") == 1
    assert ann.query("lamp").status_code == 200, "who has left makes room"


def test_retries_are_few_and_apart(world: World, user: User) -> None:
    ann = user(of=world.start_gateway())
    ann.write("the lamp is lit")
    world.rerank.trouble = lambda _path: 503
    world.rerank.seen.clear()
    assert ann.query("lamp").json()["degraded"] == ["rerank_unavailable"]
    assert len(world.rerank.seen) == 3
