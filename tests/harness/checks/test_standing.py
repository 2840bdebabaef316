"""How a collection stands after a restart: green is not enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from harness.checks.collection import Collection
from harness.checks.standing import Standing, standing, standing_verdict
from harness.core.verdicts import Verdict

SOUND = Standing("a", "green", "ok", claimed=3, counted=3, sampled=3, without_vector=0)


@pytest.mark.parametrize("status", ["green", "yellow", "grey"])
def test_a_collection_that_is_whole_passes_even_while_it_optimizes(status: str) -> None:
    assert standing_verdict(SOUND, replace(SOUND, status=status)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "damage",
    [
        {"status": "red"},
        {"status": "unknown"},
        {"optimizer": "{'error': 'no space left'}"},
        {"counted": 2},
        {"counted": 4},
        {"without_vector": 1},
    ],
)
def test_each_damage_alone_fails(damage: dict[str, Any]) -> None:
    assert standing_verdict(SOUND, replace(SOUND, **damage)).verdict is Verdict.FAIL


def test_an_estimated_count_is_told_and_not_judged() -> None:
    assert standing_verdict(SOUND, replace(SOUND, claimed=5)).verdict is Verdict.PASS


def test_an_empty_collection_shows_nothing() -> None:
    empty = replace(SOUND, claimed=0, counted=0, sampled=0)
    assert standing_verdict(empty, empty).verdict is Verdict.INCONCLUSIVE


def test_a_green_collection_whose_vectors_are_gone_is_seen() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        result: Any = {"status": "green", "optimizer_status": "ok", "points_count": 2}
        if request.url.path.endswith("/count"):
            result = {"count": 2}
        if request.url.path.endswith("/scroll"):
            points = [{"id": 1, "vector": [0.5]}, {"id": 2, "vector": {}}]
            result = {"points": points, "next_page_offset": None}
        return httpx.Response(200, content=orjson.dumps({"result": result}))

    with Collection("http://target", "a", transport=httpx.MockTransport(answer)) as collection:
        seen = standing(collection)
    assert (seen.counted, seen.without_vector) == (2, 1)
    sound = replace(seen, without_vector=0)
    assert standing_verdict(sound, seen).verdict is Verdict.FAIL
