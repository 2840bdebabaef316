"""Archives keep holes, and give back what was put in, byte for byte."""

from __future__ import annotations

import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
import qdrant_edge as edge

from refstack.vectordb.archive import write_snapshot
from refstack.vectordb.files import copy_tree_sparse, write_json

FACTS = {"config": {"params": {}}, "payload_schema": {}, "points_count": 0}


def _holey(path: Path, size: int, pieces: int) -> None:
    source = random.Random(pieces)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:
        handle.truncate(size)
        for at in range(pieces):
            handle.seek(at * size // max(pieces, 1))
            handle.write(source.randbytes(100))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "segments" / "s1" / "deep").mkdir(parents=True)
    (made / "wal").mkdir()
    for pieces in (0, 1, 3, 4, 5, 40):
        _holey(made / "wal" / f"with-{pieces}", 8 << 20, pieces)
    (made / "wal" / "empty").write_bytes(b"")
    (made / "wal" / "odd").write_bytes(os.urandom(1000))
    _holey(made / "segments" / "s1" / "deep" / "file", 2 << 20, 2)
    return made


def test_a_sparse_copy_is_equal_and_as_small(data: Path, tmp_path: Path) -> None:
    copy_tree_sparse(data, tmp_path / "copy")
    for path in data.rglob("*"):
        twin = tmp_path / "copy" / path.relative_to(data)
        if path.is_file():
            assert twin.read_bytes() == path.read_bytes()
            assert twin.stat().st_blocks <= path.stat().st_blocks + 8


def test_python_and_tar_read_the_archive_alike(data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "x.snapshot"
    write_snapshot(archive, data, FACTS, peer_id=7)
    assert archive.stat().st_size < 4 << 20
    with tarfile.open(archive) as members:
        members.extractall(tmp_path / "python", filter="data")
    (tmp_path / "tar").mkdir()
    subprocess.run(["tar", "xf", archive, "-C", tmp_path / "tar"], check=True, timeout=30)
    for path in (data / "wal").iterdir():
        for reader in ("python", "tar"):
            found = tmp_path / reader / "0" / "wal" / path.name
            assert found.read_bytes() == path.read_bytes(), (reader, path.name)
    inner = tmp_path / "tar" / "0" / "segments" / "s1.tar"
    with tarfile.open(inner) as members:
        handle = members.extractfile("snapshot/files/deep/file")
        assert handle is not None
        assert handle.read() == (data / "segments" / "s1" / "deep" / "file").read_bytes()


def test_the_engines_own_reader_opens_the_archive(tmp_path: Path) -> None:
    """So would the real server's: it is the same code."""
    home = tmp_path / "shard"
    home.mkdir()
    vectors = edge.EdgeVectorParams(size=2, distance=edge.Distance.Dot)
    shard = edge.EdgeShard.create(str(home), edge.EdgeConfig(vectors=vectors))
    points = [edge.Point(at, [float(at), 1.0], {"at": at}) for at in range(50)]
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.close()
    archive = tmp_path / "x.snapshot"
    write_snapshot(archive, home, FACTS, peer_id=7)
    outer = tmp_path / "outer"
    with tarfile.open(archive) as members:
        members.extractall(outer, filter="data")
    shard_archive = tmp_path / "shard.tar"
    subprocess.run(["tar", "cf", shard_archive, "-C", outer / "0", "."], check=True, timeout=30)
    target = tmp_path / "target"
    target.mkdir()
    edge.EdgeShard.unpack_snapshot(str(shard_archive), str(target))
    opened = edge.EdgeShard.load(str(target))
    assert opened.count(edge.CountRequest(True)) == 50
    assert opened.retrieve([7], True, True)[0].payload == {"at": 7}
    opened.close()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_bytes() == b'{\n  "a": 1\n}'
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]
