"""``verify_backup.sh``: the SHA-256 of everything, then a real restore into a scratch place."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.core.errors import HarnessError
from scripts.dayops import find, manifest, postgres, recovery
from scripts.dayops import scratch_collections as scratch
from scripts.dayops.bucket import Bucket
from scripts.dayops.manifest import VERIFICATION, Run
from scripts.dayops.script import Refused, Task, main, parser
from scripts.dayops.vectorstore import VectorStore

SCRIPT = "verify_backup.sh"
NEEDS = ("S3_ENDPOINT_URL", "BACKUP_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
READS = (
    *NEEDS,
    *("AWS_REGION", "QDRANT_URL", "QDRANT_API_KEY", "DATABASE_URL", "POSTGRES_BIN"),
)
SCRATCH_KEY = "SCRATCH_QDRANT_API_KEY"
SUPERUSER = "postgres"


class Verification:
    """One run: a store's backup is brought here, compared, restored and compared again."""

    def __init__(self, task: Task) -> None:
        self.task, self.log, self.work = task, task.log, task.work
        self.bucket = Bucket(task.environment)

    def chosen(self) -> list[Run]:
        """Find what is to be verified. Raises Refused where that is not there."""
        arguments = self.task.arguments
        if arguments.backup:
            return [manifest.parse_id(arguments.backup)]
        stores = [arguments.store] if arguments.store else list(manifest.STORES)
        if arguments.date:
            day = manifest.parse_day(arguments.date)
            return [find.find(self.bucket, store, day) for store in stores]
        return [find.newest(self.bucket, store) for store in stores]

    def verify(self, run: Run) -> dict[str, Any]:
        """Verify one backup; returns what was compared. Raises Refused where it is bad."""
        place = self.work / run.store
        check = self._vectors if run.store == "vectordb" else self._metadata
        try:
            document = manifest.read_manifest(self.bucket, run)
            found = check(run, document, place)
        except Refused as error:
            self._record(run, False, error.what)
            raise
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if not self.task.arguments.checksums_only:
            self._record(run, True, found)
        return found

    def _vectors(self, run: Run, document: dict[str, Any], place: Path) -> dict[str, Any]:
        with self.log.step("checksums", backup=run.id) as told:
            size = recovery.fetch_all(self.bucket, document, place, self.log)
            told.update(objects=len(document["objects"]), bytes=size)
        found: dict[str, Any] = {"objects": len(document["objects"]), "bytes": size}
        if self.task.arguments.checksums_only:
            return found
        store = self._scratch_store()
        scratch.refuse_versions(document["server"], store.server(), self.log)
        scratch.remove_left_checks(store)
        points = 0
        for number, entry in enumerate(document["collections"]):
            with self.log.step("restore", collection=entry["name"]) as told:
                name = scratch.check_name(entry["name"])
                snapshot = place / recovery.object_name(number, ".snapshot")
                scratch.bring(store, name, entry, snapshot, self.log)
                store.delete(name)
                told["points"] = entry["count"]
                points += entry["count"]
        return {**found, "collections": len(document["collections"]), "points": points}

    def _metadata(self, run: Run, document: dict[str, Any], place: Path) -> dict[str, Any]:
        base = recovery.Base(self.bucket, run, document, place, self.log)
        with self.log.step("checksums", backup=run.id) as told:
            size = base.fetch()
            told.update(objects=len(document["objects"]), bytes=size)
        with self.log.step("log") as told:
            reach = base.fetch_log(None)
            told.update(reach)
        found: dict[str, Any] = {
            "objects": len(document["objects"]),
            "bytes": size,
            "segments": reach["segments"],
        }
        if self.task.arguments.checksums_only:
            return found
        programs = postgres.find_programs(self.task.environment, base.major)
        user = self._user()
        for what, with_log in (("base_backup", False), ("log_replayed", True)):
            with self.log.step("restore", what=what) as told:
                directory = place / what
                directory.mkdir()
                with base.recovered(programs, user, directory, with_log=with_log) as server:
                    if with_log:
                        told["recovered_to"] = base.reached
                    else:
                        told.update(base.compare(server))
                        found.update(told)
        return {**found, "recovered_to": base.reached}

    def _scratch_store(self) -> VectorStore:
        environment, url = self.task.environment, self.task.arguments.scratch_qdrant_url
        if url:
            return VectorStore(url.rstrip("/"), os.environ.get(SCRATCH_KEY, ""))
        return VectorStore(environment["QDRANT_URL"], environment["QDRANT_API_KEY"])

    def _user(self) -> str:
        """A role that the recovered cluster has: whoever DATABASE_URL names."""
        if not self.task.environment.has("DATABASE_URL"):
            return SUPERUSER
        variables = postgres.connection_variables(self.task.environment["DATABASE_URL"])
        return variables.get("PGUSER", SUPERUSER)

    def _record(self, run: Run, ok: bool, found: Any) -> None:
        """Leave the result beside the backup, where alerts look for it."""
        if self.task.arguments.no_record:
            return
        record = {
            "ok": ok,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "tool": __version__,
            "found": found,
        }
        with contextlib.suppress(HarnessError):
            self.bucket.put_json(run.key(VERIFICATION), record, self.work)


def work(task: Task) -> None:
    """Verify what is chosen, all of it even if the first is bad."""
    verification = Verification(task)
    problems: list[Refused] = []
    for run in verification.chosen():
        try:
            task.told[run.store] = {"backup": run.id, **verification.verify(run)}
        except Refused as error:
            task.log.say(str(error))
            problems.append(error)
            task.told[run.store] = {"backup": run.id, "problem": error.what}
    if problems:
        raise problems[0]


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(
        SCRIPT,
        "Verifies backups: the SHA-256 of every object, then a real restore into a scratch place "
        "whose content is compared with the manifest. The scratch copy of the vector store is a "
        "collection of its own on QDRANT_URL, or lies on the server of --scratch-qdrant-url (key "
        f"in {SCRATCH_KEY}); that of the metadata store is a server that this script starts.",
        READS,
    )
    which = arguments.add_mutually_exclusive_group()
    which.add_argument("--date", help="the newest backups of this day (default: the newest)")
    which.add_argument("--backup", metavar="ID", help="this backup alone")
    arguments.add_argument("--store", choices=manifest.STORES, help="this store alone")
    arguments.add_argument(
        "--checksums-only", action="store_true", help="restore nothing; proves little"
    )
    arguments.add_argument("--scratch-qdrant-url", metavar="URL", help="an empty vector store")
    arguments.add_argument(
        "--no-record", action="store_true", help="leave no verification.json beside the backup"
    )
    return main(SCRIPT, arguments, NEEDS, work, argv)
