"""Tests for scripts/plan_shards.py: when a collection is full, and what it then needs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.errors import TargetError
from scripts import plan_shards
from scripts.dayops.shards import DAY_S, Growth, bytes_per_point, growth, in_words, plan

NOW = datetime(2026, 5, 9, tzinfo=UTC)
PARAMS = {"vectors": {"size": 256, "distance": "Cosine"}, "shard_number": 1}


def planned(points: int, per_day: float | None, **more: Any) -> Any:
    settings = {"limit": 15_000_000, "per_shard": 7_500_000, "horizon_days": 365.0, **more}
    found = None if per_day is None else Growth(per_day, 28.0)
    return plan("c", points, settings.pop("params", PARAMS), found, now=NOW, **settings)


def test_growth_is_the_slope_in_points_a_day_over_noise() -> None:
    samples = [(hour * 3600.0, 1000 + hour * 10 + (-1) ** hour) for hour in range(24 * 28)]
    found = growth(samples)
    assert found is not None
    assert found.per_day == pytest.approx(240, abs=0.1)
    assert found.over_days == pytest.approx(28, abs=0.1)


@pytest.mark.parametrize(
    "samples",
    [[], [(0.0, 1.0)], [(0.0, 1.0), (DAY_S, 2.0)], [(0.0, 1.0), (1.0, 2.0), (DAY_S - 1, 3.0)]],
    ids=["none", "one", "two", "less than a day"],
)
def test_too_short_a_history_says_nothing_of_growth(samples: list[tuple[float, float]]) -> None:
    assert growth(samples) is None


def test_the_day_on_which_the_limit_is_reached_and_the_shards_for_the_year_after() -> None:
    found = planned(14_000_000, 100_000)
    assert found.reaches == NOW + timedelta(days=10)
    assert found.points_at_horizon == 14_000_000 + 36_500_000
    assert (found.due, found.shards) == (True, 7)
    assert "reaches 15,000,000 on 2026-05-19: plan 7 shards" in in_words(found, 15_000_000, 365)


def test_no_split_is_due_just_beyond_the_horizon_and_one_is_just_before() -> None:
    below = 15_000_000 - 365 * 1000
    assert planned(below - 1, 1000).due is False
    assert planned(below - 1, 1000).shards == 1
    assert planned(below, 1000).due is True


@pytest.mark.parametrize("per_day", [0.0, -500.0, None])
def test_what_does_not_grow_never_gets_there(per_day: float | None) -> None:
    found = planned(1000, per_day)
    assert (found.reaches, found.due, found.points_at_horizon) == (None, False, 1000)
    assert "no split is due" in in_words(found, 15_000_000, 365)


def test_what_is_there_already_is_due_whatever_is_known_of_growth() -> None:
    found = planned(15_000_000, None)
    assert (found.reaches, found.due, found.shards) == (NOW, True, 2)
    assert "is at 15,000,000 already: plan 2 shards" in in_words(found, 15_000_000, 365)


def test_shards_are_never_taken_away() -> None:
    many = {**PARAMS, "shard_number": 12}
    assert planned(15_000_000, 0.0, params=many).shards == 12


def test_slow_growth_is_no_date_in_ten_thousand_years() -> None:
    assert planned(0, 0.001).reaches is None


def test_bytes_of_a_point_count_every_vector_and_its_type() -> None:
    assert bytes_per_point(PARAMS) == 1024
    named = {"a": {"size": 100, "datatype": "float16"}, "b": {"size": 10, "datatype": "Uint8"}}
    assert bytes_per_point({"vectors": named}) == 210
    assert bytes_per_point({"sparse_vectors": {"s": {}}}) == 0


class Store:
    def __init__(self, *_given: object) -> None:
        pass

    def collections(self) -> list[str]:
        return ["rag-a", "ragdrill-check-1-2-rag-a"]

    def aliases(self) -> dict[str, str]:
        return {"rag-chunks": "rag-a"}


class Read:
    def __init__(self, _url: str, name: str, **_more: object) -> None:
        assert name == "rag-a"

    def info(self) -> dict[str, Any]:
        config = {"params": {**PARAMS, "write_consistency_factor": None}, "hnsw_config": {"m": 16}}
        return {"config": config, "payload_schema": {"tenant": {}, "persona": {}}}

    def count(self) -> int:
        return 900


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("QDRANT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("QDRANT_API_KEY", "some-secret")
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    monkeypatch.setattr(plan_shards, "VectorStore", Store)
    monkeypatch.setattr(plan_shards, "Collection", Read)
    return monkeypatch


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[dict[str, Any]], str]:
    code = plan_shards.run(argv)
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_a_split_that_is_due_comes_with_the_request_that_makes_it(
    target: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, told = run(capsys, "--collection=rag-chunks", "--limit=900", "--per-shard=300")
    assert code == 0
    (found,) = [line for line in lines if line["event"] == "plan"]
    assert found["create"] == {
        "method": "PUT",
        "path": "/collections/rag-a-3-shards",
        "body": {**PARAMS, "shard_number": 3, "hnsw_config": {"m": 16}},
        "indexes": ["persona", "tenant"],
    }
    assert lines[-1]["due"] == ["rag-a"]
    assert "PROMETHEUS_URL is not set" in told


def test_growth_is_read_off_prometheus(
    target: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    values = [[hour * 3600.0, str(hour)] for hour in range(49)]

    def ask(base: str, path: str, query: dict[str, str]) -> Any:
        asked.append((base, path, query["query"]))
        return {"data": {"result": [{"metric": {"collection": "rag-a"}, "values": values}]}}

    target.setenv("PROMETHEUS_URL", "http://127.0.0.1:2")
    target.setattr(plan_shards, "ask", ask)
    code, lines, told = run(capsys, "--limit=1000")
    assert code == 0
    assert 'collection="rag-a"' in asked[0][2]
    assert lines[-1]["due"] == ["rag-a"]
    assert "+24 a day over 2.0 days" in told


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--collection=other"], 1, "no collection or alias 'other'"),
        (["--limit=0"], 4, "--limit must be more than nothing"),
        (["--horizon-days=-1"], 4, "--horizon-days must be"),
        (["--per-shard=many"], 4, "invalid int"),
    ],
)
def test_what_can_not_be_planned_is_told(
    argv: list[str], code: int, says: str, target: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, _, told = run(capsys, *argv)
    assert ended == code
    assert says in told


def test_a_prometheus_that_is_none_is_told(
    target: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target.setenv("PROMETHEUS_URL", "http://127.0.0.1:2")
    target.setattr(plan_shards, "ask", lambda *_: {"data": "?"})
    assert run(capsys)[0] == 2

    def silent(*_given: object) -> Any:
        raise TargetError("http://127.0.0.1:2 does not answer.")

    target.setattr(plan_shards, "ask", silent)
    code, _, told = run(capsys)
    assert (code, "does not answer" in told) == (2, True)
