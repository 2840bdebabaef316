"""A canary model gets its share, is marked, and its vectors never meet the stable model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from gateway_servers import until
from gateway_world import VECTORDB_KEY, Client, Gateway, World

User = Callable[..., Client]
STABLE, NEW = "wordllama-256", "minilm-384"
CANARY = {"CANARY": "1", "GATEWAY_EMBED_MODEL": NEW, "GATEWAY_EMBED_STABLE_MODEL": STABLE}


def move_alias(world: World, model: str) -> None:
    actions = [
        {"delete_alias": {"alias_name": "rag-chunks"}},
        {"create_alias": {"alias_name": "rag-chunks", "collection_name": f"rag-chunks-{model}"}},
    ]
    httpx.post(
        f"{world.vectordb_url}/collections/aliases",
        json={"actions": actions},
        headers={"api-key": VECTORDB_KEY},
        timeout=10,
    ).raise_for_status()


@pytest.fixture
def canary(world: World, gateway: Gateway) -> Iterator[Gateway]:
    """A gateway whose canary gets nothing by draw; the alias is put back afterwards."""
    yield world.start_gateway(GATEWAY_CANARY_SHARE="0", **CANARY)
    move_alias(world, STABLE)


def test_writes_go_to_both_collections_and_each_answers_its_own_model(
    world: World, user: User, canary: Gateway
) -> None:
    ann = user(of=canary)
    written = ann.write("the lamp is lit", document_id="d")
    assert written.json()["embed_model"] == STABLE
    stable = ann.query("lamp")
    asked = ann.query("lamp", headers={"X-Embed-Canary": "1"})
    assert (stable.json()["embed_model"], asked.json()["embed_model"]) == (STABLE, NEW)
    assert "X-Embed-Canary" not in stable.headers
    assert asked.headers["X-Embed-Canary"] == "1"
    assert stable.json()["results"][0]["text"] == asked.json()["results"][0]["text"]
    assert ann.call("DELETE", "/v1/documents/d").status_code == 204
    for model in (STABLE, NEW):
        points = world.points(f"rag-chunks-{model}")
        assert not [p for p in points if p["payload"]["tenant_id"] == ann.tenant]


def test_the_canary_answers_from_its_own_collection_only(user: User, canary: Gateway) -> None:
    before = user()
    before.write("only in the stable collection")
    ann = user(tenant=before.tenant, of=canary)
    assert ann.texts("stable collection") == ["only in the stable collection"]
    assert ann.texts("stable collection", headers={"X-Embed-Canary": "1"}) == []


def test_the_draw_follows_the_share(world: World, user: User) -> None:
    everyone = user(of=world.start_gateway(GATEWAY_CANARY_SHARE="1", **CANARY))
    half = user(of=world.start_gateway(GATEWAY_CANARY_SHARE="0.5", **CANARY))
    assert everyone.query("lamp").headers["X-Embed-Canary"] == "1"
    marked = [half.query("lamp") for _ in range(80)]
    drawn = [a for a in marked if a.headers.get("X-Embed-Canary") == "1"]
    assert 10 < len(drawn) < 70  # further off than six standard deviations of a fair draw
    assert all((a in drawn) == (a.json()["embed_model"] == NEW) for a in marked)


def test_without_a_canary_the_header_changes_nothing(user: User) -> None:
    answer = user().query("lamp", headers={"X-Embed-Canary": "1"})
    assert answer.json()["embed_model"] == STABLE
    assert "X-Embed-Canary" not in answer.headers


def test_moving_the_alias_promotes_the_canary_and_can_be_taken_back(
    world: World, user: User, canary: Gateway
) -> None:
    ann = user(of=canary)
    ann.write("the lamp is lit")

    def model_now() -> str:
        answer = ann.query("lamp")
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"][0]["text"] == "the lamp is lit"
        return str(answer.json()["embed_model"])

    assert model_now() == STABLE
    move_alias(world, NEW)
    until(lambda: model_now() == NEW, "the new model answers")
    promoted = world.start_gateway(GATEWAY_EMBED_MODEL=NEW)
    assert user(tenant=ann.tenant, of=promoted).query("lamp").json()["embed_model"] == NEW
    move_alias(world, STABLE)
    until(lambda: model_now() == STABLE, "the former model answers again")


def test_a_gateway_of_another_model_than_the_alias_refuses(
    world: World, user: User, gateway: Gateway, canary: Gateway
) -> None:
    ann = user()
    ann.write("the lamp is lit")
    move_alias(world, NEW)
    refused = until(
        lambda: (answer := ann.query("lamp")).status_code != 200 and answer, "it is refused"
    )
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:ragdrill:problem:embedding-space-mismatch"
    assert ann.write("more").status_code == 503
    assert "points at rag-chunks-minilm-384" in gateway.http.get("/readyz").text
    move_alias(world, STABLE)
    until(lambda: ann.query("lamp").status_code == 200, "it answers again")
