"""What a killed backup leaves on the vector store: snapshots, of which the bucket has a note."""

from __future__ import annotations

import contextlib
import json
import socket
from datetime import UTC, datetime

from harness.core.errors import TargetError
from scripts.dayops import manifest
from scripts.dayops.bucket import Bucket
from scripts.dayops.manifest import STARTED
from scripts.dayops.script import Log
from scripts.dayops.vectorstore import VectorStore

_WINDOW_S = 1800.0
"""A snapshot that was asked for appears within this time, or never."""


def remove_left_snapshots(bucket: Bucket, store: VectorStore, log: Log) -> list[str]:
    """Remove snapshots that runs of this machine asked for and did not live to fetch.

    Only one that was not there before, of the collection that was asked for, made within half an
    hour of the asking: nobody else's is touched. The caller holds the lock of the store.
    """
    removed = []
    for day in manifest.days(bucket)[:3]:
        for run in manifest.runs_of(bucket, day, "vectordb"):
            data = bucket.read(run.key(STARTED))
            try:
                note = json.loads(data or b"{}")
                if note.get("host") != socket.gethostname() or "collection" not in note:
                    continue
                name, asked = str(note["collection"]), float(note["asked_at"])
                before = {str(each) for each in note["before"]}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            # A collection that is gone has no snapshots left either.
            with contextlib.suppress(TargetError):
                for each in store.snapshots(name):
                    if each.name not in before and 0 <= _made(each.created) - asked < _WINDOW_S:
                        store.delete_snapshot(name, each.name)
                        log.event("removed_left_snapshot", collection=name, snapshot=each.name)
                        removed.append(each.name)
    return removed


def _made(created: str) -> float:
    """Return the server's creation time as UTC seconds, to its full second and a second more."""
    try:
        return datetime.fromisoformat(created).replace(tzinfo=UTC).timestamp() + 1
    except ValueError:
        return 0.0
