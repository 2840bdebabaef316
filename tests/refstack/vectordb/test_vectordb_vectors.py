"""Named, sparse and multi vectors, quantization, and indexes that are built beside the requests."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

SMALL = {
    "optimizers_config": {"indexing_threshold": 20},
    "hnsw_config": {"full_scan_threshold": 10, "m": 8},
}


def _vectors(count: int, size: int = 16) -> list[list[float]]:
    source = random.Random(count)
    return [[source.uniform(-1, 1) for _ in range(size)] for _ in range(count)]


def test_named_sparse_and_multi_vectors(vectordb: Any, name: str) -> None:
    vectordb.create(
        name,
        vectors={
            "dense": {"size": 3, "distance": "Dot"},
            "many": {
                "size": 2,
                "distance": "Dot",
                "multivector_config": {"comparator": "max_sim"},
            },
        },
        sparse_vectors={"sparse": {}},
    )
    first = {
        "dense": [1, 2, 3],
        "many": [[1, 0], [0, 1]],
        "sparse": {"indices": [9, 2], "values": [0.5, 2]},
    }
    vectordb.upsert(
        name,
        {"id": 1, "vector": first},
        {"id": 2, "vector": {"dense": [3, 2, 1]}},
        {"id": 3, "vector": {}},
    )
    stored = {point["id"]: point["vector"] for point in vectordb.content(name)}
    assert stored[1] == {**first, "sparse": {"indices": [2, 9], "values": [2.0, 0.5]}}
    assert (stored[2], stored[3]) == ({"dense": [3, 2, 1]}, {})

    def best(**query: Any) -> list[tuple[int, float]]:
        found = vectordb.ok("POST", f"/collections/{name}/points/query", query)["points"]
        return [(point["id"], point["score"]) for point in found]

    assert best(query=[1, 0, 0], using="dense") == [(2, 3.0), (1, 1.0)]
    assert best(query={"indices": [2], "values": [1]}, using="sparse") == [(1, 2.0)]
    assert best(query=[[2, 0], [0, 3]], using="many") == [(1, 5.0)]
    assert best(query=1, using="dense") == [(2, 10.0)]
    assert vectordb.ids(name, {"must": [{"has_vector": "sparse"}]}) == [1]
    for vector, text in (
        ({"dense": {"indices": [1], "values": [1]}}, "between sparse and regular"),
        ({"sparse": [1, 2]}, "between sparse and regular"),
        ({"dense": [[1, 2, 3]]}, "between multi and regular"),
        ({"many": [[1, 2], [1]]}, "expected dim: 2, got 1"),
        ({"sparse": {"indices": [1, 1], "values": [1, 2]}}, "unique"),
        ({"sparse": {"indices": [1, 2, 3], "values": [1, 2]}}, "same length"),
    ):
        body = {"points": [{"id": 9, "vector": vector}]}
        status, message = vectordb.error("PUT", f"/collections/{name}/points", body)
        assert status in (400, 422) and text in message


def test_a_named_vector_is_added_and_removed(
    own_vectordb: Callable[..., Any],
) -> None:
    server = own_vectordb()
    server.create("c", vectors={"a": {"size": 2, "distance": "Dot"}})
    server.upsert("c", {"id": 1, "vector": {"a": [1, 2]}})
    new = {"dense": {"size": 3, "distance": "Dot"}}
    server.ok("PUT", "/collections/c/vectors/b?wait=true", new)
    server.ok("PUT", "/collections/c/vectors/s?wait=true", {"sparse": {}})
    server.upsert("c", {"id": 2, "vector": {"b": [1, 2, 3], "s": {"indices": [1], "values": [1]}}})
    server.ok("DELETE", "/collections/c/vectors/a?wait=true")
    expected = {1: {}, 2: {"b": [1, 2, 3], "s": {"indices": [1], "values": [1]}}}
    assert {p["id"]: p["vector"] for p in server.content("c")} == expected
    server.kill()
    server.start()
    assert {p["id"]: p["vector"] for p in server.content("c")} == expected
    params = server.ok("GET", "/collections/c")["config"]["params"]
    assert list(params["vectors"]) == ["b"] and list(params["sparse_vectors"]) == ["s"]


@pytest.mark.parametrize(
    "quantization",
    [
        {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}},
        {"product": {"compression": "x4"}},
        {"binary": {"always_ram": True}},
        {"turbo": {"bits": "bits4"}},
    ],
    ids=lambda value: next(iter(value)),
)
def test_quantized_collections_are_indexed_and_answer(
    vectordb: Any, name: str, quantization: dict[str, Any]
) -> None:
    vectors = _vectors(500)
    vectordb.create(
        name,
        vectors={"size": 16, "distance": "Cosine"},
        quantization_config=quantization,
        **SMALL,
    )
    vectordb.upsert(name, *({"id": at, "vector": vector} for at, vector in enumerate(vectors)))
    info = vectordb.wait_green(name)
    assert info["indexed_vectors_count"] == 500
    assert info["config"]["quantization_config"] == quantization
    params = {"quantization": {"rescore": True, "oversampling": 4.0}, "hnsw_ef": 256}
    query = {"query": vectors[7], "limit": 1, "params": params}
    (found,) = vectordb.ok("POST", f"/collections/{name}/points/query", query)["points"]
    assert found["id"] == 7


def test_content_is_the_same_when_an_index_was_built_during_writes(
    own_vectordb: Callable[..., Any],
) -> None:
    """Writers go on while a copy is optimized; the switch may lose or repeat nothing."""
    server = own_vectordb()
    server.create("c", vectors={"size": 16, "distance": "Dot"}, **SMALL)
    schema = {"field_name": "group", "field_schema": "keyword"}
    server.ok("PUT", "/collections/c/index?wait=true", schema)
    vectors = _vectors(400)
    expected: dict[int, dict[str, Any]] = {}
    source = random.Random(5)
    halt = time.monotonic() + 30
    rounds = 0
    path = "/collections/c/points"
    (start,) = (server.storage / "collections" / "c").glob("g-*")
    with httpx.Client(base_url=server.url, timeout=10) as client:
        while start.exists() and time.monotonic() < halt:
            ids = source.sample(range(2000), 20)
            kind = source.choice(["upsert", "upsert", "upsert", "set", "delete"])
            known = [at for at in ids if at in expected]
            if kind == "upsert":
                points = [
                    {"id": at, "vector": source.choice(vectors), "payload": {"group": f"g{at % 5}"}}
                    for at in ids
                ]
                answer = client.put(path, json={"points": points})
                expected.update({p["id"]: {"vector": p["vector"], **p["payload"]} for p in points})
            elif kind == "set":
                mark = source.randint(0, 9)
                body = {"payload": {"mark": mark}, "filter": {"must": [_group("g1")]}}
                answer = client.post(f"{path}/payload", json=body)
                for point in expected.values():
                    if point["group"] == "g1":
                        point["mark"] = mark
            else:
                answer = client.post(f"{path}/delete", json={"points": known})
                for at in known:
                    del expected[at]
            assert answer.status_code == 200, answer.text
            rounds += 1
            if rounds == 40:
                # The optimizer begins in a quiet moment.
                time.sleep(0.5)
    assert not start.exists(), "no index was built during the writes"

    def check() -> None:
        found = {
            p["id"]: {"vector": pytest.approx(p["vector"], abs=1e-6), **p["payload"]}
            for p in server.content("c")
        }
        assert found.keys() == expected.keys()
        assert all(expected[at] == found[at] for at in expected)
        count = {"filter": {"must": [_group("g2")]}}
        assert server.ok("POST", f"{path}/count", count) == {
            "count": sum(point["group"] == "g2" for point in expected.values())
        }

    check()
    server.wait_green("c")
    check()
    server.kill()
    server.start()
    check()


def _group(value: str) -> dict[str, Any]:
    return {"key": "group", "match": {"value": value}}


def test_settings_reach_the_stored_segments(vectordb: Any, name: str) -> None:
    vectordb.create(name, vectors={"size": 16, "distance": "Dot"}, **SMALL)
    points = ({"id": at, "vector": v} for at, v in enumerate(_vectors(400)))
    vectordb.upsert(name, *points)
    vectordb.wait_green(name)

    def segments() -> str:
        paths = (vectordb.storage / "collections" / name).glob("g-*/segments/*/segment.json")
        return " ".join(path.read_text() for path in paths)

    assert '"type":"mmap"' in segments() and '"m":8' in segments()
    vectordb.ok(
        "PATCH",
        f"/collections/{name}",
        {"params": {"on_disk_payload": False}, "hnsw_config": {"m": 12}},
    )
    vectordb.wait_green(name)
    assert '"type":"in_ram_mmap"' in segments() and '"type":"mmap"' not in segments()
    assert '"m":12' in segments() and '"m":8' not in segments()
    assert len(vectordb.ids(name)) == 400


def test_indexing_one_collection_leaves_others_and_itself_answering(
    vectordb: Any, name: str
) -> None:
    vectordb.create(name, vectors={"size": 16, "distance": "Dot"}, **SMALL)
    halt = threading.Event()
    failures: list[str] = []
    answers = [0]

    def ask() -> None:
        with httpx.Client(base_url=vectordb.url, timeout=10) as client:
            while not halt.is_set():
                answer = client.post(f"/collections/{name}/points/query", json={"query": [1] * 16})
                answers[0] += 1
                if answer.status_code != 200:
                    failures.append(answer.text)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for begin in range(0, 1500, 500):
            vectors = _vectors(500)
            points = ({"id": begin + at, "vector": v} for at, v in enumerate(vectors))
            vectordb.upsert(name, *points)
            info = vectordb.wait_green(name)
    finally:
        halt.set()
        asker.join(15)
    assert info["indexed_vectors_count"] >= 1000
    assert not failures and answers[0] > 10
