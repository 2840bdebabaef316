"""Answers and errors have the statuses, shapes and words of the real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

C = "/collections/{c}"
POINTS = "/collections/{c}/points"

ERRORS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/collections/absent", None, 404, "Not found: Collection `absent` doesn't exist!"),
    ("PUT", C, {"vectors": {"size": 4, "distance": "Dot"}}, 409, "already exists!"),
    ("GET", f"{POINTS}/42", None, 404, "Not found: Point with id 42 does not exists!"),
    ("GET", f"{POINTS}/x", None, 400, "value x is not a valid point ID"),
    (
        "PUT",
        POINTS,
        {"points": [{"id": 1, "vector": [1, 2, 3]}]},
        400,
        "Wrong input: Vector dimension error: expected dim: 4, got 3",
    ),
    ("PUT", POINTS, {"points": [{"id": -1, "vector": [1] * 4}]}, 400, "not a valid point ID"),
    ("PUT", POINTS, {"points": [{"id": True, "vector": [1] * 4}]}, 400, "not a valid point ID"),
    ("PUT", POINTS, {"points": [{"id": 1.5, "vector": [1] * 4}]}, 400, "not a valid point ID"),
    ("PUT", POINTS, {"points": [{"id": 1}]}, 400, "missing field `vector`"),
    ("PUT", POINTS, {"points": [{"id": 1, "vector": [1, 2, 3, "4"]}]}, 400, "expected a number"),
    ("PUT", POINTS, {"points": [{"id": 1, "vector": [1, 2, 3, True]}]}, 400, "expected a number"),
    ("PUT", POINTS, {"points": [{"id": 1, "vector": [1, 2, 3, 1e39]}]}, 400, "finite numbers"),
    ("PUT", POINTS, {"points": [{"id": 1, "vector": {"v": [1] * 4}}]}, 400, "vector name error: v"),
    (
        "PUT",
        POINTS,
        {"points": [{"id": 1, "vector": {"text": "t", "model": "m"}}]},
        400,
        "inference",
    ),
    ("PUT", POINTS, {"points": [{"id": 1, "vector": [1] * 4, "extra": 1}]}, 400, "`extra`"),
    ("PUT", POINTS, {"points": [], "shard_key": "a"}, 400, "shard_key"),
    ("PUT", POINTS, {"batch": {"ids": [1], "vectors": []}}, 422, "must be equal"),
    ("PUT", f"{POINTS}?wait=yes", {"points": []}, 400, "`true` or `false`"),
    ("PUT", f"{POINTS}?wiat=true", {"points": []}, 400, "unknown field `wiat`"),
    ("PUT", f"{POINTS}?ordering=big", {"points": []}, 400, "unknown variant `big`"),
    ("POST", f"{POINTS}/count?consistency=some", {}, 400, "unknown variant `some`"),
    ("POST", f"{POINTS}/count?timeout=0", {}, 422, "timeout"),
    ("POST", f"{POINTS}/query", {"query": [1, 2]}, 400, "expected dim: 4, got 2"),
    ("POST", f"{POINTS}/query", {"query": [1] * 4, "limit": 0}, 422, "limit: value 0 invalid"),
    ("POST", f"{POINTS}/query", {"query": [1] * 4, "using": "v"}, 400, "vector name error: v"),
    ("POST", f"{POINTS}/query", {"query": 99}, 404, "Not found: No point with id 99 found"),
    ("POST", f"{POINTS}/query", {"query": {"nearset": [1] * 4}}, 400, "`nearest`"),
    ("POST", f"{POINTS}/query", {"query": {"fusion": "rrf"}}, 400, "without prefetches"),
    ("POST", f"{POINTS}/query", {"query": {"fusion": "max"}}, 400, "`rrf`, `dbsf`"),
    ("POST", f"{POINTS}/query", {"query": [1] * 4, "lookup_from": {"collection": "x"}}, 400, ""),
    ("POST", f"{POINTS}/query", {"query": [1] * 4, "params": {"ef": 9}}, 400, "`hnsw_ef`"),
    ("POST", f"{POINTS}/query", {"query": [1] * 4, "with_payload": {"only": []}}, 400, "`only`"),
    ("POST", f"{POINTS}/query", {"query": {"order_by": "n"}}, 400, "No range index"),
    ("POST", f"{POINTS}/scroll", {"limit": 0}, 422, "limit"),
    ("POST", f"{POINTS}/scroll", {"filter": {"most": []}}, 400, "`must`"),
    ("POST", f"{POINTS}/scroll", {"filter": {"must": [{"key": "n"}]}}, 422, "at least one"),
    ("POST", f"{POINTS}/scroll", {"filter": {"must": [{"kee": "n"}]}}, 400, "not a condition"),
    (
        "POST",
        f"{POINTS}/scroll",
        {"filter": {"must": {"key": "n", "match": {"valeu": 1}}}},
        400,
        "`value`",
    ),
    (
        "POST",
        f"{POINTS}/scroll",
        {"filter": {"must": {"key": "n", "match": {"any": [1, "a"]}}}},
        400,
        "a list of strings or a list of 64-bit integers",
    ),
    (
        "POST",
        f"{POINTS}/scroll",
        {"filter": {"must": {"key": "n", "range": {"gt": "soon"}}}},
        400,
        "failed to parse date-time",
    ),
    (
        "POST",
        f"{POINTS}/scroll",
        {"filter": {"must": {"key": "a[", "match": {"value": 1}}}},
        400,
        "",
    ),
    ("POST", f"{POINTS}/delete", {}, 400, "`points` or `filter`"),
    ("POST", f"{POINTS}/delete", {"points": [1], "filter": {}}, 400, "exclude each other"),
    (
        "POST",
        f"{POINTS}/payload",
        {"payload": {"a": 1}, "points": [99]},
        404,
        "No point with id 99",
    ),
    ("POST", f"{POINTS}/payload", {"points": [1]}, 400, "missing field `payload`"),
    ("PUT", f"{POINTS}/vectors", {"points": [{"id": 99, "vector": [1] * 4}]}, 404, "id 99"),
    (
        "POST",
        f"{POINTS}/vectors/delete",
        {"points": [1], "vector": ["v"]},
        400,
        "vector name error",
    ),
    ("POST", f"{POINTS}/batch", {"operations": [{"upsret": {}}]}, 400, "`upsert`"),
    ("POST", f"{C}/facet", {"key": "n"}, 400, "No appropriate index for faceting"),
    ("PUT", f"{C}/index", {"field_name": "n", "field_schema": "number"}, 400, "`integer`"),
    (
        "PUT",
        f"{C}/index",
        {"field_name": "n", "field_schema": {"type": "keyword", "is_tenat": True}},
        400,
        "`is_tenant`",
    ),
    ("PUT", "/collections/new", {"vectors": {"size": 0, "distance": "Dot"}}, 422, "size"),
    ("PUT", "/collections/new", {"vectors": {"size": 4, "distance": "Far"}}, 400, "`Cosine`"),
    ("PUT", "/collections/new", {"vectors": {"size": 4}}, 400, "missing field `distance`"),
    ("PUT", "/collections/new", {"vectors": {}}, 400, "a collection without any vector"),
    ("PUT", "/collections/new", {"shard_number": 2}, 400, "`shard_number` must be 1"),
    ("PUT", "/collections/new", {"replication_factor": 3}, 400, "`replication_factor` must be 1"),
    ("PUT", "/collections/new", {"strict_mode_config": {"enabled": True}}, 400, "strict_mode"),
    ("PUT", "/collections/new", {"on_disk": True}, 400, "`on_disk_payload`"),
    ("PUT", "/collections/a%2Fb", {}, 422, "cannot contain"),
    ("PUT", "/collections/" + "x" * 256, {}, 422, "1 to 255"),
    ("PATCH", C, {"on_disk_payload": True}, 400, "`params`"),
    ("PATCH", C, {"hnsw_config": {"m": "many"}}, 400, "expected an integer"),
    ("POST", "/collections/aliases", {"actions": [{"make_alias": {}}]}, 400, "`create_alias`"),
    ("POST", f"{POINTS}/recommend", {}, 400, "use points/query"),
    ("GET", f"{C}/shards", None, 400, "not offered by this stand-in"),
]


@pytest.fixture(scope="module")
def collection(vectordb: Any) -> str:
    vectordb.create("errors")
    vectordb.upsert("errors", {"id": 1, "vector": [1, 2, 3, 4], "payload": {"n": 1}})
    return "errors"


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), ERRORS)
def test_a_wrong_request_is_refused_in_the_envelope(
    vectordb: Any, collection: str, method: str, path: str, body: Any, status: int, text: str
) -> None:
    got, message = vectordb.error(method, path.format(c=collection), body)
    assert got == status, message
    assert text in message
    assert vectordb.content(collection) == [
        {"id": 1, "payload": {"n": 1}, "vector": [1.0, 2.0, 3.0, 4.0]}
    ]


def test_a_good_answer_has_result_status_and_time(vectordb: Any, collection: str) -> None:
    answer = vectordb.http.post(f"/collections/{collection}/points/count", json={})
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"result", "status", "time"}
    assert body["status"] == "ok" and body["result"] == {"count": 1}
    assert 0 < body["time"] < 60


@pytest.mark.parametrize("content", [b"{", b"[]", b"", b'{"points": NaN}', b"\xff"])
def test_a_body_that_is_no_json_object_is_a_format_error(
    vectordb: Any, collection: str, content: bytes
) -> None:
    answer = vectordb.http.put(
        f"/collections/{collection}/points",
        content=content,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["status"]["error"].startswith("Format error in JSON body: ")


def test_a_body_must_say_that_it_is_json_and_be_of_bounded_size(
    vectordb: Any, collection: str
) -> None:
    path = f"/collections/{collection}/points/count"
    answer = vectordb.http.post(path, content=b"{}")
    assert answer.status_code == 400
    assert answer.json()["status"]["error"].startswith("Content type error")
    large = json.dumps({"filter": {"must": [{"key": "x" * (33 << 20), "match": {"value": 1}}]}})
    answer = vectordb.http.post(
        path, content=large.encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert "is larger than allowed (limit: 33554432 bytes)" in answer.json()["status"]["error"]


def test_an_unknown_route_is_an_empty_404(vectordb: Any) -> None:
    for method, path in (
        ("GET", "/nothing"),
        ("PATCH", "/collections"),
        ("GET", "/collections/a/b"),
    ):
        answer = vectordb.http.request(method, path)
        assert (answer.status_code, answer.content) == (404, b"")


def test_slashes_at_the_end_do_not_count(vectordb: Any, collection: str) -> None:
    path = f"/collections//{collection}/points/count/"
    assert vectordb.ok("POST", path, {}) == {"count": 1}


def test_the_root_names_the_stand_in_and_a_version(vectordb: Any) -> None:
    assert vectordb.http.get("/").json() == {"title": "qdrant-edge stand-in", "version": "1.19.0"}


def test_health_is_plain_text(vectordb: Any) -> None:
    for path, text in (
        ("/healthz", "healthz check passed"),
        ("/livez", "healthz check passed"),
        ("/readyz", "all shards are ready"),
    ):
        answer = vectordb.http.get(path)
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["content-type"].startswith("text/plain")


def test_waiting_decides_the_word_of_a_write(vectordb: Any, name: str) -> None:
    vectordb.create(name)
    body = {"points": [{"id": 1, "vector": [1, 1, 1, 1]}]}
    path = f"/collections/{name}/points"
    first = vectordb.ok("PUT", path, body)
    second = vectordb.ok("PUT", f"{path}?wait=true&ordering=strong", body)
    assert (first["status"], second["status"]) == ("acknowledged", "completed")
    assert second["operation_id"] > first["operation_id"]


def test_a_request_id_is_returned(vectordb: Any) -> None:
    answer = vectordb.http.get("/", headers={"X-Request-Id": "abcdef-123456"})
    assert answer.headers["x-request-id"] == "abcdef-123456"


def test_logs_are_json_lines_without_payloads(
    vectordb: Any, name: str, make_points: Callable[..., Any]
) -> None:
    vectordb.create(name)
    vectordb.upsert(name, {"id": 1, "vector": [1, 1, 1, 1], "payload": {"p": "planted-secret"}})
    vectordb.error("PUT", f"/collections/{name}/points", {"points": [{"planted-secret": 1}]})
    lines = vectordb.log.read_text().splitlines()
    assert all({"ts", "level", "event", "service"} <= set(json.loads(line)) for line in lines)
    assert not any("planted-secret" in line for line in lines)


def test_metrics_count_points_vectors_and_responses(
    vectordb: Any, name: str, make_points: Callable[..., Any]
) -> None:
    vectordb.create(name, vectors={"a": {"size": 4, "distance": "Dot"}})
    vectordb.upsert(name, {"id": 1, "vector": {"a": [1, 2, 3, 4]}})
    page = vectordb.http.get("/metrics").text
    assert f'collection_points{{id="{name}"}} 1' in page
    assert f'collection_vectors{{collection="{name}",vector="a"}} 1' in page
    assert 'app_info{name="qdrant-edge stand-in",version="1.19.0"} 1' in page
    line = next(
        line
        for line in page.splitlines()
        if line.startswith("rest_responses_total")
        and 'endpoint="/collections/{collection_name}/points",status="200"' in line
        and 'method="PUT"' in line
    )
    assert int(line.split()[-1]) >= 1
    for line in page.splitlines():
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_telemetry_says_that_this_is_a_stand_in(vectordb: Any) -> None:
    found = vectordb.ok("GET", "/telemetry")
    assert found["stand_in"] is True
    assert found["app"]["engine"] == "qdrant-edge-py" and found["app"]["engine_version"]
