"""The content digest: blind to order and spelling, and to nothing else."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.digest import Digest, digest, digest_of, read_ledger
from harness.core.errors import HarnessError

MakeStore = Callable[..., Any]


def _point(**changes: Any) -> dict[str, Any]:
    point = {
        "id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
        "vector": [0.25, -0.5],
        "payload": {"tenant_id": "acme", "meta": {"a": 1, "b": [1, 2]}},
    }
    return {**point, **changes}


BASE = digest_of([_point()])


@pytest.mark.parametrize(
    "same",
    [
        _point(id="6F9619FF8B86D011B42D00CF4FC964FF"),
        _point(payload={"meta": {"b": [1, 2], "a": 1}, "tenant_id": "acme"}),
        _point(vector=[0.25, -0.5 + 1e-12]),  # the same float32
        _point(vector={"": [0.25, -0.5]}),
        _point(version=7, shard_key=None),
    ],
)
def test_another_spelling_of_the_same_content_has_the_same_digest(same: dict[str, Any]) -> None:
    assert digest_of([same]) == BASE


@pytest.mark.parametrize(
    "other",
    [
        _point(id="6f9619ff-8b86-d011-b42d-00cf4fc964fe"),
        _point(id=5),
        _point(vector=[0.25, -0.50000006]),  # one unit in the last place
        _point(vector=[-0.5, 0.25]),
        _point(vector=[0.25, -0.5, 0.0]),
        _point(vector=[[0.25, -0.5]]),
        _point(vector={"v": [0.25, -0.5]}),
        _point(vector=None),
        _point(vector={"": {"indices": [0, 1], "values": [0.25, -0.5]}}),
        _point(payload={"tenant_id": "acme", "meta": {"a": 1, "b": [2, 1]}}),
        _point(payload={"tenant_id": "acme", "meta": {"a": 1.0, "b": [1, 2]}}),
        _point(payload={"tenant_id": "acme", "meta": {"a": "1", "b": [1, 2]}}),
        _point(payload={"tenant_id": "other", "meta": {"a": 1, "b": [1, 2]}}),
        _point(payload={}),
    ],
)
def test_any_other_content_has_another_digest(other: dict[str, Any]) -> None:
    changed = digest_of([other])
    assert changed.total != BASE.total
    assert changed.buckets != BASE.buckets


def test_a_point_that_comes_twice_does_not_cancel_out() -> None:
    twice = digest_of([_point(), _point()])
    assert twice.count == 2
    assert twice.total not in (BASE.total, digest_of([]).total)


def test_swapping_vectors_or_payloads_between_points_is_seen() -> None:
    one, two = _point(id=1), _point(id=2, vector=[1.0, 0.0], payload={"tenant_id": "x"})
    straight = digest_of([one, two])
    assert (
        digest_of([{**one, "vector": two["vector"]}, {**two, "vector": one["vector"]}]) != straight
    )
    assert (
        digest_of([{**one, "payload": two["payload"]}, {**two, "payload": one["payload"]}])
        != straight
    )


def test_sparse_vectors_are_read_in_order_of_their_indices() -> None:
    one = _point(vector={"s": {"indices": [7, 2], "values": [0.5, 0.25]}})
    two = _point(vector={"s": {"indices": [2, 7], "values": [0.25, 0.5]}})
    crossed = _point(vector={"s": {"indices": [2, 7], "values": [0.5, 0.25]}})
    assert digest_of([one]) == digest_of([two]) != digest_of([crossed])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(
    payloads=st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=6),
    shuffle=st.randoms(use_true_random=False),
)
def test_order_and_a_trip_through_json_change_nothing(payloads: list[Any], shuffle: Any) -> None:
    points = [{"id": i, "vector": [float(i), 0.1], "payload": p} for i, p in enumerate(payloads)]
    travelled = json.loads(json.dumps(points))
    shuffle.shuffle(travelled)
    assert digest_of(travelled) == digest_of(points)


def test_a_digest_by_scroll_does_not_depend_on_pages_or_layout(make_store: MakeStore) -> None:
    digests = [
        digest(make_store(250, seed=seed).collection(), page=page)
        for seed, page in ((1, 7), (2, 250), (3, 1000))
    ]
    assert digests[0] == digests[1] == digests[2]
    assert digests[0].count == 250


def test_tenants_add_up_and_differ_only_where_content_does(make_store: MakeStore) -> None:
    store = make_store(90)
    before = digest(store.collection())
    key = next(k for k, p in store.points.items() if p["payload"]["tenant_id"] == "t1")
    store.points[key] = copy.deepcopy(store.points[key])
    store.points[key]["payload"]["ingested_at"] += 1
    after = digest(store.collection())
    assert {part.count for part in before.tenants.values()} == {30}
    assert [t for t in before.tenants if before.tenants[t] != after.tenants[t]] == ["t1"]
    total = sum(int(part.total, 16) for part in before.tenants.values()) % 2**256
    assert f"{total:064x}" == before.total


def test_a_digest_survives_json_and_refuses_what_is_none(make_store: MakeStore) -> None:
    own = digest(make_store(20).collection())
    assert Digest.from_json(json.loads(json.dumps(own.as_json()))) == own
    with pytest.raises(HarnessError, match="no content digest"):
        Digest.from_json({"collection": "x"})
    with pytest.raises(HarnessError, match="another way"):
        Digest.from_json({**own.as_json(), "algorithm": "md5"})


def test_the_ledger_holds_every_fingerprint(make_store: MakeStore, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.jsonl"
    own = digest(make_store(40).collection(), ledger=path)
    fingerprints = list(read_ledger(path))
    assert len({f.id for f in fingerprints}) == own.count == 40
    assert {f.tenant for f in fingerprints} == {"t0", "t1", "t2"}
    path.write_text('{"id": 1}\n')
    with pytest.raises(HarnessError, match="line 1"):
        list(read_ledger(path))


@pytest.mark.parametrize(
    "vector", [[None, 1.0], ["a"], {"s": {"indices": [1], "values": []}}, {"v": 3}, [1e39]]
)
def test_a_vector_that_cannot_be_read_is_an_error_and_not_a_digest(vector: Any) -> None:
    with pytest.raises(HarnessError, match="cannot be read"):
        digest_of([_point(vector=vector)])


def test_a_server_that_refuses_or_misbehaves_is_an_error(make_store: MakeStore) -> None:
    store = make_store(10)
    store.api_key = "right"
    with pytest.raises(HarnessError, match="api_key"):
        digest(store.collection("wrong"))
    assert digest(store.collection("right")).count == 10
    store.points.clear()
    store._scroll = lambda body: {"points": [], "next_page_offset": 1}
    with pytest.raises(HarnessError, match="come to an end"):
        digest(store.collection("right"))


def test_memory_does_not_grow_with_the_collection(make_store: MakeStore) -> None:
    def peak(n: int) -> int:
        collection = make_store(n).collection()
        tracemalloc.start()
        digest(collection, page=50)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(100)
    assert peak(2400) < peak(600) * 2 + 300_000
