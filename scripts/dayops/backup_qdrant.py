"""``backup_qdrant.sh``: every collection into the bucket, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.checks.answers import configuration
from harness.checks.content import narrow
from harness.checks.digest import Digest, digest
from harness.core.errors import TargetError
from scripts.dayops import manifest, prune, taking
from scripts.dayops.bucket import Bucket, Stored
from scripts.dayops.leftovers import remove_left_snapshots
from scripts.dayops.manifest import NAME, STARTED, Run
from scripts.dayops.scratch_collections import check_name, is_scratch
from scripts.dayops.script import Refused, Task, alone, main, parser
from scripts.dayops.vectorstore import Snapshot, VectorStore

SCRIPT = "backup_qdrant.sh"
STORE = "vectordb"
NEEDS = (
    *("QDRANT_URL", "QDRANT_API_KEY", "S3_ENDPOINT_URL", "BACKUP_BUCKET"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
)
MOST_CHANGES = 200_000
"""Points that may change while one collection is copied; more, and it is tried again."""


class Backup:
    """One run."""

    def __init__(self, task: Task, run: Run) -> None:
        environment = task.environment
        self.run, self.log, self.work = run, task.log, task.work
        self.full: bool = task.arguments.full
        self.bucket = Bucket(environment)
        self.store = VectorStore(environment["QDRANT_URL"], environment["QDRANT_API_KEY"])

    def take(self) -> dict[str, Any]:
        """Take the backup; returns what the last log line tells. Raises HarnessError."""
        server = self.store.server()
        names = [n for n in self.store.collections() if not is_scratch(n)]
        document = manifest.begin(self.run, asdict(server))
        document["client"] = {name: version(name) for name in ("httpx", "minio")}
        self._journal({})
        before = self._previous()
        collections = []
        for name in names:
            with self.log.step("collection", collection=name) as found:
                entry = self._collection(name, before.get(name))
                collections.append(entry)
                found.update(
                    points=entry["count"],
                    bytes=entry["object"]["size"],
                    reused=entry["object"]["reused"],
                )
        with self.log.step("manifest"):
            document["collections"] = collections
            document["aliases"] = {
                alias: name for alias, name in self.store.aliases().items() if name in names
            }
            document["objects"] = [each["object"] for each in collections]
            self.bucket.put_json(self.run.key(NAME), manifest.finish(document), self.work)
            self.bucket.remove([self.run.key(STARTED)])
        copied = [each["object"]["size"] for each in collections if not each["object"]["reused"]]
        return {
            "backup": self.run.id,
            "collections": len(collections),
            "points": sum(each["count"] for each in collections),
            "copied": len(copied),
            "reused": len(collections) - len(copied),
            "bytes": sum(copied),
        }

    def _previous(self) -> dict[str, dict[str, Any]]:
        """Return the entries of the newest backup that can be read, by collection.

        None of a backup that a verification found to be bad: what it holds is copied anew, and
        nothing older is asked, for the same object may be behind that.
        """
        if self.full:
            return {}
        for run in manifest.complete_runs(self.bucket, STORE):
            if manifest.found_bad(self.bucket, run):
                self.log.warn(
                    "backup_bad",
                    "the last backup was found to be bad: all is copied",
                    backup=run.id,
                )
                return {}
            try:
                document = manifest.read_manifest(self.bucket, run)
            except Refused as error:
                self.log.warn("backup_unreadable", error.what, backup=run.id)
                continue
            return {each["name"]: each for each in document["collections"]}
        return {}

    def _collection(self, name: str, last: dict[str, Any] | None) -> dict[str, Any]:
        ledgers = self.work / "ledgers"
        with self.store.reader(name, self._points(name)) as reader:
            settings = configuration(reader)
            first = digest(reader, ledger=ledgers / "first")
        if last is not None and self._unchanged(last, first, settings):
            return {**last, "object": {**last["object"], "reused": True}}
        snapshot = self._make_snapshot(name)
        local = self.work / "collection.snapshot"
        try:
            sha256 = self.store.download(name, snapshot, local, self._bytes(name, snapshot))
            if snapshot.checksum and sha256 != snapshot.checksum:
                raise TargetError(
                    f"The snapshot of {name} arrived damaged.",
                    expected=f"the server's own SHA-256 {snapshot.checksum}",
                    actual=sha256,
                    next_step="run it again; if it stays so, the server's disk is bad",
                )
        finally:
            with contextlib.suppress(TargetError):
                self.store.delete_snapshot(name, snapshot.name)
        held = self._content_of(name, local, sha256, ledgers)
        if held != first:
            self._refuse_loss(name, ledgers, first, held)
        stored = self.bucket.put(self.run.key(f"{name}.snapshot"), local, sha256)
        local.unlink()
        return {
            "name": name,
            "count": held.count,
            "digest": held.as_json(),
            "observed": "quiet" if held == first else "copy",
            "configuration": settings,
            "server_snapshot": asdict(snapshot),
            "object": {**stored.as_json(), "reused": False},
        }

    def _unchanged(self, last: dict[str, Any], now: Digest, settings: dict[str, Any]) -> bool:
        """Whether the last backup of a collection still is what it holds, and is still there."""
        if Digest.from_json(last["digest"]) != now or last["configuration"] != settings:
            return False
        kept: Stored = manifest.stored(last["object"])
        return self.bucket.stat(kept.key) == (kept.size, kept.sha256)

    def _make_snapshot(self, name: str) -> Snapshot:
        asked = datetime.now(UTC).timestamp()
        there = [each.name for each in self.store.snapshots(name)]
        self._journal({"collection": name, "asked_at": asked, "before": there})
        made = self.store.make_snapshot(name)
        if not made.size:
            raise TargetError(f"The snapshot of {name} is empty.", actual=made.name)
        return made

    def _content_of(self, name: str, local: Path, sha256: str, ledgers: Path) -> Digest:
        """Return what a snapshot holds: a scratch copy is restored from it and read.

        The live collection can't tell: what is written and removed again while the snapshot is
        taken is in the snapshot, and in no digest of the collection before or after.
        """
        scratch = check_name(name)
        self.store.delete(scratch)
        try:
            self.store.upload(scratch, local, sha256)
            with self.store.reader(scratch, self._points(scratch)) as reader:
                held = digest(reader, ledger=ledgers / "held")
        finally:
            self.store.delete(scratch)
        return Digest.from_json({**held.as_json(), "collection": name})

    def _refuse_loss(self, name: str, ledgers: Path, first: Digest, held: Digest) -> None:
        """Raise TargetError unless what stood unchanged before and after is in the snapshot."""
        self.log.event("written_meanwhile", collection=name)
        with self.store.reader(name, self._points(name)) as reader:
            second = digest(reader, ledger=ledgers / "second")
        paths = {each: ledgers / each for each in ("first", "second", "held")}
        lost = narrow(first, held, paths["first"], paths["held"], limit=MOST_CHANGES)
        moved = narrow(first, second, paths["first"], paths["second"], limit=MOST_CHANGES)
        if not (lost.complete and moved.complete):
            raise TargetError(
                f"{name} changes too fast to be sure of its snapshot.",
                expected=f"at most {MOST_CHANGES} points to change meanwhile",
                next_step="run it again at a quieter time",
            )
        explained = {*moved.missing, *(each.id for each in moved.changed)}
        gone = {*lost.missing, *(each.id for each in lost.changed)} - explained
        if gone:
            raise TargetError(
                f"The snapshot of {name} lacks points that were there all the time.",
                expected="every point that did not change while it was taken",
                actual=f"{len(gone)} are missing or differ, such as {sorted(map(str, gone))[0]}",
                next_step="run it again; if it stays so, the server makes bad snapshots",
            )

    def _journal(self, asked: dict[str, Any]) -> None:
        """Note what is under way, for whoever cleans up after us should we be killed."""
        note = {"host": socket.gethostname(), "pid": os.getpid(), **asked}
        self.bucket.put_json(self.run.key(STARTED), note, self.work)

    def _points(self, name: str) -> Any:
        return lambda seen: self.log.progress(f"{name}: {seen} points read")

    def _bytes(self, name: str, snapshot: Snapshot) -> Any:
        whole = max(1, snapshot.size)
        return lambda seen: self.log.progress(f"{name}: {100 * seen // whole} % of the snapshot")


def work(task: Task) -> None:
    """Clean up after runs that were killed, take the backup, prune."""
    prune.policy_of(task.arguments)
    with alone(task.environment, STORE):
        backup = Backup(task, manifest.new_run(STORE))
        # Pruning takes the notes of killed runs away: what they left goes first, so the store
        # must answer even where no backup is taken.
        backup.store.server()
        with task.log.step("left_overs") as found:
            found["removed"] = remove_left_snapshots(backup.bucket, backup.store, task.log)
        if not task.arguments.prune_only:
            taking.take(task, backup)
        taking.clear_out(task, backup.bucket, STORE)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(
        SCRIPT,
        "Takes one snapshot per collection into <bucket>/yyyy-mm-dd/, with a manifest that is "
        "written last. A collection that has not changed since the last backup is referred to.",
        NEEDS,
    )
    arguments.add_argument("--full", action="store_true", help="copy what has not changed as well")
    prune.add_options(arguments)
    return main(SCRIPT, arguments, NEEDS, work, argv)
