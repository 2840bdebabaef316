"""Keys and tokens open what they should, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

KEY, ALT, READ = "full-key-0123456789", "alt-key-0123456789", "read-key-0123456789"
QUERY = ("POST", "/collections/c/points/count", {})
WRITE = ("PUT", "/collections/c/points", {"points": [{"id": 1, "vector": [1, 1, 1, 1]}]})
INDEX = ("PUT", "/collections/c/index", {"field_name": "k", "field_schema": "keyword"})
SNAPSHOTS = ("GET", "/collections/c/snapshots", None)
CREATE = ("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
METRICS = ("GET", "/metrics", None)
OTHER = ("POST", "/collections/other/points/count", {})
RECOVER = ("PUT", "/collections/c/snapshots/recover", {"location": "file:///nowhere"})


@pytest.fixture(scope="module")
def guarded(vectordb: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = type(vectordb)(
        Path(tmp_path_factory.mktemp("guarded")),
        QDRANT__SERVICE__API_KEY=KEY,
        QDRANT__SERVICE__ALT_API_KEY=ALT,
        QDRANT__SERVICE__READ_ONLY_API_KEY=READ,
        QDRANT__SERVICE__JWT_RBAC="true",
    )
    server.start()
    server.http.headers["api-key"] = KEY
    for name in ("c", "other"):
        server.create(name)
    server.upsert("c", {"id": 1, "vector": [1, 1, 1, 1], "payload": {"user": "u1"}})
    del server.http.headers["api-key"]
    yield server
    server.http.close()
    server.stop()


def _token(key: str = KEY, **claims: Any) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(key))


def _status(server: Any, request: tuple[str, str, Any], **headers: str) -> int:
    method, path, body = request
    return int(server.http.request(method, path, json=body, headers=headers).status_code)


@pytest.mark.parametrize("path", ["/", "/healthz", "/livez", "/readyz"])
def test_health_needs_no_key(guarded: Any, path: str) -> None:
    assert guarded.http.get(path).status_code == 200


def test_without_a_key_the_answer_is_plain_text(guarded: Any) -> None:
    for headers, text in (
        ({}, "Must provide an API key or an Authorization bearer token"),
        ({"api-key": "wrong"}, "Invalid API key or JWT"),
        ({"Authorization": "Bearer wrong"}, "Invalid API key or JWT"),
        ({"Authorization": f"Basic {KEY}"}, "Must provide an API key or"),
        ({"api-key": "wrong", "Authorization": f"Bearer {KEY}"}, "Invalid API key or JWT"),
    ):
        for path in ("/collections", "/metrics", "/telemetry", "/nothing"):
            answer = guarded.http.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"].startswith("text/plain")
            assert answer.text.startswith(text)


@pytest.mark.parametrize("key", [KEY, ALT])
def test_the_full_keys_open_everything(guarded: Any, key: str) -> None:
    for request in (QUERY, WRITE, INDEX, SNAPSHOTS, METRICS, OTHER):
        assert _status(guarded, request, **{"api-key": key}) == 200
        assert _status(guarded, request, Authorization=f"Bearer {key}") == 200


def test_the_read_only_key_reads(guarded: Any) -> None:
    for request in (QUERY, SNAPSHOTS, METRICS, OTHER):
        assert _status(guarded, request, **{"api-key": READ}) == 200
    for request in (WRITE, INDEX, CREATE, RECOVER):
        method, path, body = request
        answer = guarded.http.request(method, path, json=body, headers={"api-key": READ})
        assert answer.status_code == 403
        assert answer.json()["status"]["error"] == "Forbidden: Global manage access is required"


TOKENS: list[tuple[dict[str, Any], dict[str, int]]] = [
    ({}, {"query": 200, "write": 200, "index": 200, "create": 409, "other": 200}),
    ({"access": "m"}, {"query": 200, "write": 200, "index": 200, "create": 409, "other": 200}),
    ({"access": "r"}, {"query": 200, "write": 403, "index": 403, "create": 403, "other": 200}),
    (
        {"access": [{"collection": "c", "access": "r"}]},
        {"query": 200, "write": 403, "index": 403, "create": 403, "other": 403, "metrics": 403},
    ),
    (
        {"access": [{"collection": "c", "access": "rw"}]},
        {"query": 200, "write": 200, "index": 200, "create": 403, "other": 403, "snapshots": 200},
    ),
    (
        {"access": [{"collection": "c", "access": "prw"}]},
        {"query": 200, "write": 200, "index": 403, "create": 403, "snapshots": 403},
    ),
    ({"exp": 1}, {"query": 403}),
    ({"access": "all"}, {"query": 403}),
    ({"access": [{"collection": "c", "access": "r", "payload": {"a": 1}}]}, {"query": 401}),
]
_REQUESTS = {
    "query": QUERY,
    "write": WRITE,
    "index": INDEX,
    "create": CREATE,
    "other": OTHER,
    "metrics": METRICS,
    "snapshots": SNAPSHOTS,
}


@pytest.mark.parametrize(("claims", "expected"), TOKENS)
def test_a_token_opens_what_its_claims_say(
    guarded: Any, claims: dict[str, Any], expected: dict[str, int]
) -> None:
    token = _token(**claims)
    seen = {
        what: _status(guarded, _REQUESTS[what], Authorization=f"Bearer {token}")
        for what in expected
    }
    assert seen == expected


def test_a_token_must_be_signed_with_a_full_key_and_in_time(guarded: Any) -> None:
    def status(token: str) -> int:
        return _status(guarded, QUERY, **{"api-key": token})

    assert status(_token(ALT)) == 200
    assert status(_token(exp=int(time.time()) - 10)) == 200, "within the leeway of 30 s"
    assert status(_token(exp=int(time.time()) - 60)) == 403
    assert status(_token(READ)) == 403
    head, _, signature = _token(access="r").split(".")
    assert status(f"{head}.{_token(access='m').split('.')[1]}.{signature}") == 403
    assert status("eyJhbGciOiJub25lIn0.e30.") == 403


def test_a_token_can_depend_on_a_value(guarded: Any) -> None:
    def status(collection: str, value: str) -> int:
        condition = {"collection": collection, "matches": [{"key": "user", "value": value}]}
        return _status(guarded, QUERY, **{"api-key": _token(value_exists=condition)})

    body = {"points": [{"id": 1, "vector": [1, 1, 1, 1], "payload": {"user": "u1"}}]}
    guarded.http.put("/collections/c/points", json=body, headers={"api-key": KEY})
    assert status("c", "u1") == 200
    assert status("c", "u2") == 401
    assert status("absent", "u1") == 403


def test_a_token_of_one_collection_sees_no_other(guarded: Any) -> None:
    token = _token(access=[{"collection": "c", "access": "r"}])
    answer = guarded.http.get("/collections", headers={"api-key": token})
    assert answer.json()["result"] == {"collections": [{"name": "c"}]}


def test_keys_never_show_in_the_log(guarded: Any) -> None:
    _status(guarded, QUERY, **{"api-key": KEY})
    text = guarded.log.read_text()
    assert not any(key in text for key in (KEY, ALT, READ))


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("QDRANT__SERVICE__API_KYE", "x", "known are"),
        ("QDRANT__SERVICE__JWT_RBAC", "true", "unless QDRANT__SERVICE__API_KEY is set"),
        ("QDRANT__SERVICE__MAX_REQUEST_SIZE_MB", "0", "a whole number from 1"),
        ("QDRANT__STORAGE__STORAGE_PATH", "/proc/nothing", "a directory"),
    ],
)
def test_a_bad_setting_ends_the_process_with_one_line(
    vectordb: Any, tmp_path: Path, variable: str, value: str, text: str
) -> None:
    server = type(vectordb)(tmp_path, **{variable: value})
    assert server.launch().wait(20) == 2
    (line,) = server.log.read_text().splitlines()
    assert variable in line and text in line
