"""Snapshot archives: tar files in the layout of the real server, with holes kept as holes.

Layout: `version.info`, `config.json`, `payload_index.json`, and one shard `0/` with
`segments/<uuid>.tar` (each holding `snapshot/files/...`), `wal/`, `replica_state.json`,
`shard_config.json` and `newest_clocks.json`. Holes use the old GNU sparse format, which the real
server's tar library writes and reads as well.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, Any

import orjson

from refstack.vectordb.checks import JsonObject
from refstack.vectordb.config import stored_config
from refstack.vectordb.errors import ApiError, bad_request
from refstack.vectordb.files import data_extents, remove_tree

COLLECTION_VERSION = "0.4.2"
"""What the real server, 1.7 to 1.19, writes to `version.info`: a version of its storage crate."""
_BLOCK = 512
_CHUNK = 1 << 20
_END = b"\0" * (2 * _BLOCK)


def _octal(value: int, width: int) -> bytes:
    text = b"%0*o" % (width - 1, value)
    if len(text) >= width:
        return (1 << (8 * width - 1) | value).to_bytes(width, "big")
    return text + b"\0"


def _sparse_header(name: str, size: int, extents: list[tuple[int, int]]) -> bytes:
    """The blocks that precede the data of one sparse member."""
    stored = sum(length for _, length in extents)
    plain = tarfile.TarInfo(name)
    plain.size, plain.mode = stored, 0o600
    block = bytearray(plain.tobuf(tarfile.GNU_FORMAT))
    if len(block) != _BLOCK:
        raise ValueError(f"the member name {name!r} is too long for a sparse member")
    block[156:157] = tarfile.GNUTYPE_SPARSE
    cells = [_octal(offset, 12) + _octal(length, 12) for offset, length in extents]
    head, rest = cells[:4], cells[4:]
    block[386 : 386 + 24 * len(head)] = b"".join(head)
    block[482] = 1 if rest else 0
    block[483:495] = _octal(size, 12)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    blocks = [bytes(block)]
    while rest:
        part, rest = rest[:21], rest[21:]
        extra = bytearray(_BLOCK)
        extra[: 24 * len(part)] = b"".join(part)
        extra[504] = 1 if rest else 0
        blocks.append(bytes(extra))
    return b"".join(blocks)


def _add_file(archive: IO[bytes], source: Path, name: str) -> None:
    with source.open("rb") as reader:
        size = os.fstat(reader.fileno()).st_size
        extents = list(data_extents(reader.fileno(), size))
        if sum(length for _, length in extents) == size:
            info = tarfile.TarInfo(name)
            info.size, info.mode = size, 0o600
            archive.write(info.tobuf(tarfile.GNU_FORMAT))
        else:
            # A hole at the end is only known from a last, empty extent.
            if not extents or sum(extents[-1]) < size:
                extents.append((size, 0))
            archive.write(_sparse_header(name, size, extents))
        stored = 0
        for offset, length in extents:
            reader.seek(offset)
            remaining = length
            while remaining:
                chunk = reader.read(min(_CHUNK, remaining))
                if not chunk:
                    raise OSError(f"{source} shrank while it was read")
                archive.write(chunk)
                remaining -= len(chunk)
            stored += length
        archive.write(b"\0" * (-stored % _BLOCK))


def _add_tree(archive: IO[bytes], source: Path, name: str) -> None:
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            _add_tree(archive, entry, f"{name}{entry.name}/")
        else:
            _add_file(archive, entry, f"{name}{entry.name}")


def _add_bytes(archive: IO[bytes], name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.write(info.tobuf(tarfile.GNU_FORMAT) + content + b"\0" * (-len(content) % _BLOCK))


def write_snapshot(target: Path, data: Path, facts: JsonObject, peer_id: int) -> None:
    """Write the archive of an exported directory `data`; `facts` come from the worker.

    `target` is complete and on disk when this returns.
    """
    schema = {
        name: shown.get("params") or shown["data_type"]
        for name, shown in facts["payload_schema"].items()
    }
    replicas = {"is_local": True, "this_peer_id": peer_id, "peers": {str(peer_id): "Active"}}
    with target.open("wb") as archive:
        _add_bytes(archive, "version.info", COLLECTION_VERSION.encode())
        _add_bytes(archive, "config.json", orjson.dumps(facts["config"]))
        _add_bytes(archive, "payload_index.json", orjson.dumps({"schema": schema}))
        _add_bytes(archive, "0/replica_state.json", orjson.dumps(replicas))
        _add_bytes(archive, "0/shard_config.json", orjson.dumps({"type": "ReplicaSet"}))
        _add_bytes(archive, "0/newest_clocks.json", orjson.dumps({"clocks": []}))
        inner = target.with_suffix(".segment")
        try:
            for segment in sorted((data / "segments").iterdir()):
                with inner.open("wb") as part:
                    _add_tree(part, segment, "snapshot/files/")
                    part.write(_END)
                _add_file(archive, inner, f"0/segments/{segment.name}.tar")
        finally:
            inner.unlink(missing_ok=True)
        _add_tree(archive, data / "wal", "0/wal/")
        archive.write(_END)
        archive.flush()
        os.fsync(archive.fileno())


def _unpack(source: Path, target: Path) -> None:
    """Unpack one tar, which must be whole, refusing anything that would leave `target`."""
    target.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
        members = archive.getmembers()
        # A tar that was cut between two members reads like a whole one, but for its end.
        raw.seek(archive.offset)
        if raw.read(len(_END)) != _END:
            raise tarfile.ReadError("it does not end as a tar does")
        if hasattr(tarfile, "data_filter"):
            archive.extractall(target, filter="data")
        else:
            _extract(archive, members, target)


def _extract(archive: tarfile.TarFile, members: list[tarfile.TarInfo], target: Path) -> None:
    """What the filter `data` does, for Python before 3.11.4 (Debian 12 has 3.11.2)."""
    top = target.resolve()
    for member in members:
        if not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name!r} is neither a file nor a directory")
        if not (top / member.name).resolve().is_relative_to(top):
            raise tarfile.TarError(f"{member.name!r} would leave the directory")
        member.uid = member.gid = 0
        member.mode = 0o700 if member.isdir() else 0o600
    for member in members:
        archive.extract(member, target, set_attrs=False)


def read_snapshot(source: Path, scratch: Path) -> tuple[Path, JsonObject]:
    """Unpack an archive below `scratch`; returns the data directory and the configuration.

    Raises `ApiError` 400 for anything that is not a whole snapshot of one shard.
    """
    outer = scratch / "archive"
    try:
        _unpack(source, outer)
        config = stored_config(_json(outer / "config.json"))
        if not (outer / "version.info").is_file():
            raise FileNotFoundError("version.info")
        shard = outer / "0"
        segments = shard / "segments"
        parts = sorted(segments.iterdir())
        if not parts:
            raise FileNotFoundError("0/segments/*")
        for part in parts:
            if part.suffix == ".tar":
                _unpack(part, segments / part.stem)
                part.unlink()
        for segment in sorted(segments.iterdir()):
            _flatten(segment)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        remove_tree(outer)
        raise bad_request(f"Failed to read the snapshot: {error}") from None
    except ApiError:
        remove_tree(outer)
        raise
    data = scratch / "data"
    data.mkdir()
    segments.rename(data / "segments")
    if (shard / "wal").is_dir():
        (shard / "wal").rename(data / "wal")
    remove_tree(outer)
    return data, config


def _flatten(segment: Path) -> None:
    """Undo the `snapshot/files` that the server puts around a segment's files."""
    for wrapped in (segment / "snapshot" / "files", segment / "files"):
        if wrapped.is_dir():
            for entry in list(wrapped.iterdir()):
                entry.rename(segment / entry.name)
            shutil.rmtree(segment / wrapped.relative_to(segment).parts[0])
    if not (segment / "segment.json").is_file() or not (segment / "version.info").is_file():
        raise FileNotFoundError(f"segment.json or version.info of segment {segment.name}")


def _json(path: Path) -> Any:
    return orjson.loads(path.read_bytes())
