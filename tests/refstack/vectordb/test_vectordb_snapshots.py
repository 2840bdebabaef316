"""Snapshots bring back identical content, and a bad one changes nothing."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest


@pytest.fixture
def filled(vectordb: Any, name: str, make_points: Callable[..., Any]) -> str:
    """A collection with points, an index, and a point that was rewritten."""
    vectordb.create(name)
    vectordb.upsert(name, *make_points(20))
    vectordb.upsert(name, {"id": 3, "vector": [9, 9, 9, 9], "payload": {"n": 3, "new": True}})
    schema = {"field_name": "k", "field_schema": {"type": "keyword", "is_tenant": True}}
    vectordb.ok("PUT", f"/collections/{name}/index?wait=true", schema)
    return name


def _snapshot(vectordb: Any, name: str) -> tuple[dict[str, Any], bytes]:
    made = vectordb.ok("POST", f"/collections/{name}/snapshots")
    return made, vectordb.http.get(f"/collections/{name}/snapshots/{made['name']}").content


def _upload(vectordb: Any, name: str, content: bytes, **query: str) -> Any:
    return vectordb.http.post(
        f"/collections/{name}/snapshots/upload",
        params=query,
        files={"snapshot": ("x.snapshot", content, "application/octet-stream")},
    )


def _leftovers(vectordb: Any, name: str) -> list[str]:
    directory = vectordb.storage / "collections" / name
    generations = [path.name for path in directory.glob("g-*")][1:]
    return generations + [path.name for path in (vectordb.storage / "tmp").iterdir()]


def test_a_snapshot_is_listed_with_its_size_and_checksum(vectordb: Any, filled: str) -> None:
    made, content = _snapshot(vectordb, filled)
    assert made["size"] == len(content)
    assert made["checksum"] == hashlib.sha256(content).hexdigest()
    assert vectordb.ok("GET", f"/collections/{filled}/snapshots") == [made]
    path = vectordb.snapshots / filled / made["name"]
    assert (path.parent / f"{path.name}.checksum").read_text() == made["checksum"]
    assert vectordb.ok("DELETE", f"/collections/{filled}/snapshots/{made['name']}") is True
    assert vectordb.ok("GET", f"/collections/{filled}/snapshots") == []
    assert list(path.parent.iterdir()) == []
    for method in ("GET", "DELETE"):
        route = f"/collections/{filled}/snapshots/{made['name']}"
        assert vectordb.error(method, route) == (
            404,
            f"Not found: Snapshot {made['name']} not found",
        )


def test_a_snapshot_has_the_layout_of_the_real_server(vectordb: Any, filled: str) -> None:
    _, content = _snapshot(vectordb, filled)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = archive.getnames()
        config = orjson.loads(archive.extractfile("config.json").read())  # type: ignore[union-attr]
        index = orjson.loads(archive.extractfile("payload_index.json").read())  # type: ignore[union-attr]
        segment = next(name for name in names if name.startswith("0/segments/"))
        inner = archive.extractfile(segment)
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as parts:
            assert "snapshot/files/segment.json" in parts.getnames()
    for expected in ("version.info", "0/replica_state.json", "0/shard_config.json"):
        assert expected in names
    assert any(name.startswith("0/wal/") for name in names)
    assert config["params"]["vectors"] == {"size": 4, "distance": "Dot"}
    assert index == {"schema": {"k": {"type": "keyword", "is_tenant": True}}}
    assert len(content) < 2 << 20, "the holes of preallocated files were written out"


def test_two_snapshots_of_one_second_are_two(vectordb: Any, filled: str) -> None:
    names = {_snapshot(vectordb, filled)[0]["name"] for _ in range(2)}
    found = vectordb.ok("GET", f"/collections/{filled}/snapshots")
    assert {item["name"] for item in found} == names and len(names) == 2


def test_an_upload_brings_back_identical_content_and_takes_updates(
    vectordb: Any, filled: str
) -> None:
    made, content = _snapshot(vectordb, filled)
    before = vectordb.content(filled)
    vectordb.upsert(filled, {"id": 3, "vector": [0, 0, 0, 1], "payload": {"later": True}})
    vectordb.ok("POST", f"/collections/{filled}/points/delete?wait=true", {"points": [1, 2]})

    answer = _upload(vectordb, filled, content, checksum=made["checksum"], priority="snapshot")

    assert answer.status_code == 200 and answer.json()["result"] is True
    assert vectordb.content(filled) == before
    schema = vectordb.ok("GET", f"/collections/{filled}")["payload_schema"]
    assert schema["k"]["params"] == {"type": "keyword", "is_tenant": True}
    assert _leftovers(vectordb, filled) == []
    # An engine whose log started over would ignore an update of a point it already has.
    vectordb.upsert(filled, {"id": 3, "vector": [1, 2, 3, 4], "payload": {"after": 1}})
    assert vectordb.ok("GET", f"/collections/{filled}/points/3") == {
        "id": 3,
        "payload": {"after": 1},
        "vector": [1.0, 2.0, 3.0, 4.0],
    }


def test_a_snapshot_without_a_log_still_takes_updates(vectordb: Any, filled: str) -> None:
    """The engine ignores an update that is numbered below the version of its point."""
    for at in range(1200):
        body = {"payload": {"at": at}, "points": [3]}
        vectordb.ok("POST", f"/collections/{filled}/points/payload", body)
    _, content = _snapshot(vectordb, filled)
    bare = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as source,
        tarfile.open(fileobj=bare, mode="w", format=tarfile.GNU_FORMAT) as target,
    ):
        for member in source.getmembers():
            if not member.name.startswith("0/wal"):
                target.addfile(member, source.extractfile(member))
    target_name = f"{filled}-bare"
    assert _upload(vectordb, target_name, bare.getvalue()).status_code == 200
    vectordb.upsert(target_name, {"id": 3, "vector": [1, 2, 3, 4], "payload": {"after": 1}})
    assert vectordb.ok("GET", f"/collections/{target_name}/points/3")["payload"] == {"after": 1}


def test_a_restore_creates_a_collection_that_is_not_there(vectordb: Any, filled: str) -> None:
    made, _ = _snapshot(vectordb, filled)
    location = (vectordb.snapshots / filled / made["name"]).as_uri()
    body = {"location": location, "checksum": made["checksum"], "priority": "replica"}
    copy = f"{filled}-copy"
    assert vectordb.ok("PUT", f"/collections/{copy}/snapshots/recover", body) is True
    assert vectordb.content(copy) == vectordb.content(filled)
    assert len(vectordb.ids(filled)) == 20


def test_a_restore_survives_a_restart(
    own_vectordb: Callable[..., Any], make_points: Callable[..., Any]
) -> None:
    server = own_vectordb()
    server.create("c")
    server.upsert("c", *make_points(10))
    _, content = _snapshot(server, "c")
    before = server.content("c")
    server.upsert("c", *make_points(10, start=100))
    assert _upload(server, "c", content).status_code == 200
    server.upsert("c", *make_points(1, start=50))
    server.kill()
    server.start()
    assert [p for p in server.content("c") if p["id"] != 50] == before
    assert 50 in server.ids("c")


def _damaged(content: bytes) -> dict[str, bytes]:
    def rebuilt(change: Callable[[str, bytes], bytes | None]) -> bytes:
        result = io.BytesIO()
        with (
            tarfile.open(fileobj=io.BytesIO(content)) as source,
            tarfile.open(fileobj=result, mode="w", format=tarfile.GNU_FORMAT) as target,
        ):
            for member in source.getmembers():
                if member.name.startswith("0/wal"):
                    continue
                handle = source.extractfile(member)
                data = change(member.name, handle.read() if handle else b"")
                if data is not None:
                    info = tarfile.TarInfo(member.name)
                    info.size = len(data)
                    target.addfile(info, io.BytesIO(data))
        return result.getvalue()

    def without(part: str) -> bytes:
        return rebuilt(lambda member, data: None if part in member else data)

    def broken_segment(member: str, data: bytes) -> bytes:
        return data[: len(data) // 2] if member.startswith("0/segments") else data

    escaping = io.BytesIO()
    with tarfile.open(fileobj=escaping, mode="w") as archive:
        info = tarfile.TarInfo("../../outside")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    return {
        "empty": b"",
        "noise": bytes(range(256)) * 100,
        "cut in the middle": content[: len(content) // 2],
        "cut at its end": content[:-1024],
        "no config": without("config.json"),
        "no version": without("version.info"),
        "no segments": without("0/segments"),
        "half a segment": rebuilt(broken_segment),
        "config is no JSON": rebuilt(lambda m, d: b"{" if m == "config.json" else d),
        "two shards": rebuilt(
            lambda m, d: (
                d.replace(b'"shard_number":1', b'"shard_number":2') if m == "config.json" else d
            )
        ),
        "leaves its directory": escaping.getvalue(),
    }


def test_a_damaged_upload_is_refused_and_changes_nothing(vectordb: Any, filled: str) -> None:
    _, content = _snapshot(vectordb, filled)
    before = vectordb.content(filled)
    for kind, damaged in _damaged(content).items():
        for target in (filled, f"{filled}-new"):
            answer = _upload(vectordb, target, damaged)
            assert answer.status_code == 400, (kind, answer.text)
            assert answer.json()["status"]["error"], kind
    assert vectordb.content(filled) == before
    assert _leftovers(vectordb, filled) == []
    assert vectordb.ok("GET", f"/collections/{filled}-new/exists") == {"exists": False}
    assert not (vectordb.home / "outside").exists()


def test_a_snapshot_of_other_vectors_is_refused(vectordb: Any, filled: str, name: str) -> None:
    other = f"{name}-other"
    vectordb.create(other, vectors={"size": 3, "distance": "Dot"})
    vectordb.upsert(other, {"id": 1, "vector": [1, 2, 3]})
    _, content = _snapshot(vectordb, filled)
    answer = _upload(vectordb, other, content)
    assert answer.status_code == 400
    assert answer.json()["status"]["error"].startswith(
        "Wrong input: Snapshot is not compatible with existing collection: Collection vectors: "
    )
    assert vectordb.ids(other) == [1]


def test_a_checksum_is_verified_when_it_is_given(vectordb: Any, filled: str) -> None:
    made, content = _snapshot(vectordb, filled)
    wrong = "0" * 64
    answer = _upload(vectordb, filled, content, checksum=wrong)
    assert (answer.status_code, answer.json()["status"]["error"]) == (
        400,
        f"Checksum mismatch: expected {wrong}, actual {made['checksum']}",
    )
    assert _upload(vectordb, filled, content, checksum="abc").status_code == 422
    location = (vectordb.snapshots / filled / made["name"]).as_uri()
    recover = f"/collections/{filled}/snapshots/recover"
    assert vectordb.error("PUT", recover, {"location": location, "checksum": wrong}) == (
        400,
        f"Bad request: Snapshot checksum mismatch: expected {wrong}, got {made['checksum']}",
    )
    assert _leftovers(vectordb, filled) == []


def test_recover_takes_files_of_the_snapshots_directory_only(
    vectordb: Any, filled: str, tmp_path: Path
) -> None:
    _, content = _snapshot(vectordb, filled)
    outside = tmp_path / "x.snapshot"
    outside.write_bytes(content)
    link = vectordb.snapshots / "link.snapshot"
    link.symlink_to(outside)
    recover = f"/collections/{filled}/snapshots/recover"
    for location in (outside.as_uri(), link.as_uri(), f"file://{vectordb.snapshots}/../x"):
        status, message = vectordb.error("PUT", recover, {"location": location})
        assert status == 403, location
        assert message.startswith("Forbidden: Snapshot file path must be inside the snapshots")
    absent = vectordb.snapshots / "absent.snapshot"
    assert vectordb.error("PUT", recover, {"location": absent.as_uri()}) == (
        400,
        f'Bad request: Snapshot file "{absent}" does not exist',
    )
    assert vectordb.error("PUT", recover, {"location": "file://elsewhere/x"}) == (
        400,
        "Bad request: Invalid snapshot URI, file path must be absolute or on localhost",
    )
    assert vectordb.error("PUT", recover, {"location": "s3://bucket/x"})[0] == 400


class _Source(BaseHTTPRequestHandler):
    content = b""
    keys: list[str | None] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.keys.append(self.headers.get("api-key"))
        self.send_response(200 if self.path == "/good" else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


def test_recover_downloads_from_a_url_with_its_key(vectordb: Any, filled: str) -> None:
    made, _Source.content = _snapshot(vectordb, filled)
    web = ThreadingHTTPServer(("127.0.0.1", 0), _Source)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{web.server_port}"
        recover = f"/collections/{filled}/snapshots/recover"
        vectordb.ok("POST", f"/collections/{filled}/points/delete?wait=true", {"points": [1]})
        body = {"location": f"{address}/good", "api_key": "k", "checksum": made["checksum"]}
        assert vectordb.ok("PUT", recover, body) is True
        assert len(vectordb.ids(filled)) == 20 and _Source.keys[-1] == "k"
        status, message = vectordb.error("PUT", recover, {"location": f"{address}/bad"})
        assert status == 400 and message.endswith("status - 404")
    finally:
        web.shutdown()
        web.server_close()


def test_without_waiting_the_answer_is_accepted(vectordb: Any, filled: str) -> None:
    answer = vectordb.http.post(f"/collections/{filled}/snapshots?wait=false")
    assert answer.status_code == 202
    assert set(answer.json()) == {"status", "time"} and answer.json()["status"] == "accepted"


def test_a_snapshot_of_everything_is_refused_clearly(vectordb: Any) -> None:
    status, message = vectordb.error("POST", "/snapshots")
    assert status == 400 and "take one per collection" in message
