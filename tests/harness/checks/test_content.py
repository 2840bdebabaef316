"""Narrowing: the points that differ are named, and only they are fetched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.checks.content import content_verdict, differing_tenants, narrow
from harness.checks.digest import digest
from harness.core.verdicts import Verdict

MakeStore = Callable[..., Any]


def _damaged(make_store: MakeStore, n: int) -> tuple[Any, Any, list[str]]:
    """A store and a copy with one point gone, one new, one vector and one payload changed."""
    before = make_store(n)
    after = make_store(points=copy.deepcopy(list(before.points.values())), seed=9)
    keys = sorted(before.points)
    del after.points[keys[0]]
    after.points[keys[1]]["vector"][0] += 0.01
    after.points[keys[2]]["payload"]["meta"]["a"] = "o"
    new = {**copy.deepcopy(after.points[keys[3]]), "id": 77}
    after.points["77"] = new
    after.order.append("77")
    return before, after, keys


def test_equal_contents_pass_and_empty_ones_show_nothing(make_store: MakeStore) -> None:
    one, two = digest(make_store(60, seed=1).collection()), digest(make_store(60).collection())
    assert content_verdict(one, two).verdict is Verdict.PASS
    empty = digest(make_store(0).collection())
    assert content_verdict(empty, empty).verdict is Verdict.INCONCLUSIVE
    assert content_verdict(one, empty).verdict is Verdict.FAIL


def test_differing_points_are_named_with_what_differs(make_store: MakeStore) -> None:
    before, after, keys = _damaged(make_store, 400)
    first, second = digest(before.collection()), digest(after.collection())
    difference = narrow(first, second, before.collection(), after.collection())
    assert difference.missing == [keys[0]]
    assert difference.extra == [77]
    assert {c.id: c.parts for c in difference.changed} == {
        keys[1]: ["vector"],
        keys[2]: ["payload"],
    }
    assert difference.complete
    result = content_verdict(first, second, difference)
    assert result.verdict is Verdict.FAIL
    assert result.details["difference"]["missing_ids"] == [keys[0]]


def test_only_points_of_differing_buckets_are_fetched_again(make_store: MakeStore) -> None:
    before, after, _ = _damaged(make_store, 3000)
    first, second = digest(before.collection()), digest(after.collection())
    before.sent = after.sent = 0
    narrow(first, second, before.collection(), after.collection())
    assert 0 < before.sent < 60
    assert 0 < after.sent < 60


def test_a_ledger_stands_in_for_a_collection_that_is_gone(
    make_store: MakeStore, tmp_path: Path
) -> None:
    before, after, keys = _damaged(make_store, 200)
    ledger = tmp_path / "before.jsonl"
    first = digest(before.collection(), ledger=ledger)
    before.points.clear()
    second = digest(after.collection())
    difference = narrow(first, second, ledger, after.collection())
    assert difference.missing == [keys[0]] and difference.extra == [77]
    assert len(difference.changed) == 2


def test_a_search_that_stops_at_its_limit_says_so(make_store: MakeStore, monkeypatch: Any) -> None:
    monkeypatch.setattr("harness.checks.content._GROUP_POINTS", 20)
    before, after = make_store(300), make_store(0)
    first, second = digest(before.collection()), digest(after.collection())
    difference = narrow(first, second, before.collection(), after.collection(), limit=30)
    assert not difference.complete
    assert 30 <= len(difference.missing) < 300
    whole = narrow(first, second, before.collection(), after.collection())
    assert whole.complete and len(whole.missing) == 300


def test_named_vectors_are_told_apart(make_store: MakeStore) -> None:
    def store(x: float) -> Any:
        return make_store(
            points=[{"id": 1, "vector": {"a": [1.0], "b": [x]}, "payload": {"tenant_id": "t"}}]
        )

    one, two = store(0.5), store(0.25)
    first, second = digest(one.collection()), digest(two.collection())
    difference = narrow(first, second, one.collection(), two.collection())
    assert [c.parts for c in difference.changed] == [["vector:b"]]
    assert differing_tenants(first, second) == ["t"]
