"""A collection's directory: its record, its generations, and opening the engine on one of them.

`collection.json` names the generation (a sub-directory) that holds the data, so replacing all of
a collection, by a restore or by an optimized copy, is one atomic rename of that file.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import orjson
import qdrant_edge as edge

from refstack.vectordb.checks import JsonObject
from refstack.vectordb.files import remove_tree, write_json
from refstack.vectordb.worker.engine_config import engine_config

RECORD = "collection.json"
LOCK_WAIT_S = 5.0
_PADDING = 1000


def new_generation() -> str:
    """A name for a directory that holds one state of the data."""
    return f"g-{uuid.uuid4().hex[:12]}"


def read_record(directory: Path) -> JsonObject:
    """`{name, config, generation, state}` of the collection in `directory`."""
    record: JsonObject = orjson.loads((directory / RECORD).read_bytes())
    return record


def write_record(directory: Path, record: JsonObject) -> None:
    """Replace the record, atomically and durably."""
    write_json(directory / RECORD, record)


def sweep(directory: Path, generation: str) -> None:
    """Remove what a process that was killed left behind: drafts and other generations."""
    for entry in directory.iterdir():
        if entry.name in (RECORD, generation):
            continue
        if entry.is_dir():
            remove_tree(entry)
        else:
            entry.unlink(missing_ok=True)


def create_shard(path: Path, config: JsonObject) -> edge.EdgeShard:
    """A new, empty shard in `path`, which is emptied first."""
    remove_tree(path)
    path.mkdir()
    return edge.EdgeShard.create(str(path), engine_config(config))


def load_shard(path: Path, config: JsonObject) -> edge.EdgeShard:
    """Open the shard in `path` with exactly these settings.

    The engine lets one process open a directory. One that was killed a moment ago may not be
    gone yet, so a lock is waited for up to `LOCK_WAIT_S`; any other error is raised at once.
    """
    # What the file holds would win over settings that have been taken back to their default.
    (path / "edge_config.json").unlink(missing_ok=True)
    give_up = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return edge.EdgeShard.load(str(path), engine_config(config))
        except Exception as error:
            if "WouldBlock" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def number_above(shard: edge.EdgeShard) -> None:
    """See to it that new operations are numbered above those that the segments have seen.

    The numbers come from the log, and a snapshot may hold an emptied one or none. The engine
    silently ignores an update that is numbered below the version of its point.
    """
    points, _ = shard.scroll(edge.ScrollRequest(limit=1, with_payload=False))
    if not points:
        return
    seen = last_version(shard)
    touch = edge.UpdateOperation.set_payload([points[0].id], {})
    nothing = edge.UpdateOperation.delete_points([])
    for _ in range(seen // _PADDING + 2):
        shard.update(touch)
        if last_version(shard) > seen:
            return
        for _ in range(_PADDING):
            shard.update(nothing)
    raise RuntimeError("the operation log does not reach the versions of the stored points")


def last_version(shard: edge.EdgeShard) -> int:
    """The number of the latest operation that the segments have seen, 0 when there is none."""
    manifest: dict[str, dict[str, Any]] = shard.snapshot_manifest()
    return max((segment["segment_version"] or 0 for segment in manifest.values()), default=0)
