"""``restore_dr.sh``: both stores from the bucket, beside what is there, verified, then switched."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from harness.checks.agreement import compare_stores
from harness.core.errors import TargetError, UsageError
from scripts.dayops import find, manifest, postgres, recovery
from scripts.dayops import scratch_collections as scratch
from scripts.dayops.bucket import Bucket
from scripts.dayops.commands import run_command
from scripts.dayops.database import Live
from scripts.dayops.manifest import Run
from scripts.dayops.script import Disagree, Refused, Task, alone, main, parser
from scripts.dayops.vectorstore import VectorStore

SCRIPT = "restore_dr.sh"
NEEDS = ("S3_ENDPOINT_URL", "BACKUP_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
READS = (
    *NEEDS,
    *("AWS_REGION", "QDRANT_URL", "QDRANT_API_KEY", "QDRANT_ALIAS", "DATABASE_URL"),
    *("STOP_WRITERS_CMD", "START_WRITERS_CMD", "REINDEX_CMD", "POSTGRES_BIN"),
)
_CHUNKS = "SELECT tenant_id, chunk_id, point_id::text FROM public.chunks"
# Points that the restored gateway has yet to remove, or is about to commit: they are announced.
_ANNOUNCED = "SELECT unnest(point_ids)::text FROM rag.vector_cleanup"


@dataclass
class Chosen:
    """A backup that was found: its run, manifest, and where its objects are brought."""

    run: Run
    document: dict[str, Any]
    place: Path


@dataclass
class Restore:
    """One run. ``made`` and ``staged`` are collections of ours that are not live yet."""

    task: Task
    made: list[str] = field(default_factory=list)
    staged: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        environment, chosen = self.task.environment, self.task.arguments
        self.log, self.work = self.task.log, self.task.work
        self.bucket = Bucket(environment)
        self.until = find.parse_moment(chosen.to_time) if chosen.to_time else None
        self.stores = (chosen.store,) if chosen.store else manifest.STORES
        if "vectordb" in self.stores:
            self.vectors = VectorStore(environment["QDRANT_URL"], environment["QDRANT_API_KEY"])
        self.dsn = environment["DATABASE_URL"] if "metadata" in self.stores else ""
        stopped = environment.has("STOP_WRITERS_CMD") or chosen.writers_are_stopped
        if not stopped and not chosen.dry_run:
            raise UsageError(
                "Nobody stops the writers: what they write meanwhile would be lost.",
                expected="STOP_WRITERS_CMD, a shell command that ends all writing",
                actual="not set",
                next_step="set it, or stop them by hand and add --writers-are-stopped",
            )

    # --- before anything changes --------------------------------------------------------------

    def find(self) -> dict[str, Chosen]:
        """Find the backups that are meant. Raises Refused."""
        day = manifest.parse_day(self.task.arguments.date)
        given = {run.store: run for run in map(manifest.parse_id, self.task.arguments.backup)}
        found = {}
        with self.log.step("find") as told:
            for store in self.stores:
                if store in given:
                    run = given[store]
                else:
                    run = find.find(self.bucket, store, day, self.until)
                document = manifest.read_manifest(self.bucket, run)
                found[store] = Chosen(run, document, _cache(self.bucket, run))
                told[store] = run.id
        return found

    def check(self, found: dict[str, Chosen]) -> None:
        """Compare versions and the SHA-256 of everything. Raises Refused; changes nothing."""
        with self.log.step("check") as told:
            if "vectordb" in found:
                chosen = found["vectordb"]
                server = self.vectors.server()
                scratch.refuse_versions(chosen.document["server"], server, self.log)
                told["vectordb_bytes"] = recovery.fetch_all(
                    self.bucket, chosen.document, chosen.place / "vectordb", self.log
                )
            if "metadata" in found:
                base = self._base(found["metadata"])
                with postgres.connect(self.dsn, dbname="postgres") as live:
                    number = live.info.server_version // 10_000
                if number < base.major:
                    raise Refused(
                        "The backup is newer than the server.",
                        expected=f"PostgreSQL {base.major} or newer",
                        actual=number,
                        next_step="upgrade the server first",
                    )
                self.programs = postgres.find_programs(self.task.environment, base.major)
                told["metadata_bytes"] = base.fetch()

    def plan(self, found: dict[str, Chosen]) -> None:
        """Say what would be done. Changes nothing."""
        if "vectordb" in found:
            there = self.vectors.collections()
            for entry in found["vectordb"].document["collections"]:
                name = entry["name"]
                how = "made"
                if name in there:
                    same = not scratch.holds(self.vectors, name, entry, self.log)
                    how = "left as it is" if same else "replaced"
                self.log.event("would", store="vectordb", collection=name, points=entry["count"])
                self.log.say(f"would be {how}: collection {name}, {entry['count']} points")
            for alias, name in found["vectordb"].document["aliases"].items():
                self.log.say(f"would point at {name}: alias {alias}")
        if "metadata" in found:
            base = self._base(found["metadata"])
            reach = base.fetch_log(self.until)
            to = self.until.isoformat() if self.until else f"the end of {reach['last']}"
            self.log.event("would", store="metadata", recover_to=to, **reach)
            self.log.say(f"would be recovered to {to}: database {base.database}")

    def _base(self, chosen: Chosen) -> recovery.Base:
        return recovery.Base(self.bucket, chosen.run, chosen.document, chosen.place, self.log)

    # --- beside what is there -----------------------------------------------------------------

    def restore_vectors(self, chosen: Chosen) -> None:
        """Bring each collection back beside what is there and compare it. Raises Refused."""
        with self.log.step("vectordb_restore") as told:
            there = self.vectors.collections()
            for number, entry in enumerate(chosen.document["collections"]):
                name = entry["name"]
                snapshot = chosen.place / "vectordb" / recovery.object_name(number, ".snapshot")
                staging = scratch.restore_name(name)
                if staging in there:
                    self.vectors.delete(staging)
                if name not in there:
                    scratch.bring(self.vectors, name, entry, snapshot, self.log)
                    self.made.append(name)
                elif scratch.holds(self.vectors, name, entry, self.log):
                    scratch.bring(self.vectors, staging, entry, snapshot, self.log)
                    self.staged[name] = staging
                else:
                    self.log.event("already_there", collection=name)
            told.update(made=self.made, staged=sorted(self.staged))

    def restore_metadata(self, chosen: Chosen) -> Live:
        """Recover the database on a scratch server and copy it beside the live one."""
        base = self._base(chosen)
        with self.log.step("flush_wal") as told:
            told["segment"] = recovery.flush(self.dsn, base.where, self.log)
        with self.log.step("metadata_restore") as told:
            told.update(base.fetch_log(self.until))
            user = str(postgres.connection_variables(self.dsn)["PGUSER"])
            live = Live(self.dsn, self.programs, self.log)
            with base.recovered(
                self.programs, user, self.work, with_log=True, until=self.until
            ) as server:
                self.reached = base.reached
                told["recovered_to"] = base.reached
                with self.log.step("metadata_verify") as counted:
                    counted.update(live.copy(server, base.database))
        return live

    def undo(self) -> None:
        """Remove what was restored beside what is there."""
        for name in (*self.made, *self.staged.values()):
            with contextlib.suppress(TargetError):
                self.vectors.delete(name)

    # --- the switch ---------------------------------------------------------------------------

    def switch(self, found: dict[str, Chosen], live: Live | None) -> None:
        """Put everything in place: the database in one transaction, collections, then aliases."""
        with self.log.step("switch"):
            if live is not None:
                live.switch(keep_previous=not self.task.arguments.drop_previous)
            if "vectordb" in found:
                chosen = found["vectordb"]
                for number, entry in enumerate(chosen.document["collections"]):
                    staging = self.staged.get(entry["name"])
                    if staging is not None:
                        name = recovery.object_name(number, ".snapshot")
                        snapshot = chosen.place / "vectordb" / name
                        scratch.replace(self.vectors, entry, snapshot, self.log)
                        self.vectors.delete(staging)
                wanted = dict(chosen.document["aliases"])
                self.vectors.set_aliases(wanted)
                there = self.vectors.aliases()
                wrong = [alias for alias, name in wanted.items() if there.get(alias) != name]
                if wrong:
                    raise TargetError(
                        "The aliases are not where they were.",
                        expected=wanted,
                        actual=there,
                        next_step="run this again",
                    )

    def reindex(self) -> None:
        """Have the vector store follow the metadata store, by the operator's command."""
        with self.log.step("reindex") as told:
            if not self.task.environment.has("REINDEX_CMD"):
                told["state"] = "skipped"
                return
            run_command(self.task.environment["REINDEX_CMD"], "REINDEX_CMD")

    def agreement(self) -> dict[str, int] | None:
        """Compare the two stores; None where they do not hold chunks as the gateway keeps them."""
        environment = self.task.environment
        with self.log.step("agreement") as told:
            if not (environment.has("DATABASE_URL") and environment.has("QDRANT_URL")):
                told["state"] = "skipped"
                return None
            with postgres.connect(environment["DATABASE_URL"]) as link:
                row = link.execute("SELECT to_regclass('public.chunks') IS NULL").fetchone()
                if row is None or row[0]:
                    told["state"] = "skipped"
                    return None
                store = VectorStore(environment["QDRANT_URL"], environment["QDRANT_API_KEY"])
                with store.reader(environment["QDRANT_ALIAS"]) as reader:
                    found = compare_stores(link.execute(_CHUNKS).fetchall(), reader)
                announced = _announced(link)
            found.without_row = [
                own for own in found.without_row if str(own.point) not in announced
            ]
            counts = {**found.counts(), "rows": found.rows, "points": found.points}
            told.update(counts)
            return counts


def _announced(link: psycopg.Connection[Any]) -> set[str]:
    row = link.execute("SELECT to_regclass('rag.vector_cleanup') IS NULL").fetchone()
    if row is None or row[0]:
        return set()
    return {str(each[0]) for each in link.execute(_ANNOUNCED).fetchall()}


def work(task: Task) -> None:
    """Find, check, restore beside, verify, switch."""
    restore = Restore(task)
    with alone(task.environment, *restore.stores):
        found = restore.find()
        task.told.update({store: chosen.run.id for store, chosen in found.items()})
        try:
            _restore(restore, found)
        except (Refused, Disagree):
            _forget(found)
            raise
        # Whatever else ends it leaves what was fetched, and the next run goes on from there.
        _forget(found)


def _restore(restore: Restore, found: dict[str, Chosen]) -> None:
    task, told = restore.task, restore.task.told
    restore.check(found)
    if task.arguments.dry_run:
        restore.plan(found)
        told["dry_run"] = True
        return
    with _writers_stopped(task) as resume:
        live = _beside(restore, found)
        resume.clear()
        restore.switch(found, live)
        told["recovered_to"] = getattr(restore, "reached", None)
        restore.reindex()
        told["agreement"] = agreement = restore.agreement()
        resume.append(True)
    if live is not None:
        restore.log.say("take a base backup now: recovery to a moment begins anew with it")
    _refuse_disagreement(agreement)


def _forget(found: dict[str, Chosen]) -> None:
    for chosen in found.values():
        shutil.rmtree(chosen.place, ignore_errors=True)


def _beside(restore: Restore, found: dict[str, Chosen]) -> Live | None:
    """Restore everything beside what is there; on a failure nothing of it stays."""
    live = None
    try:
        if "vectordb" in found:
            restore.restore_vectors(found["vectordb"])
        if "metadata" in found:
            live = restore.restore_metadata(found["metadata"])
    except BaseException:
        restore.undo()
        raise
    return live


@contextlib.contextmanager
def _writers_stopped(task: Task) -> Iterator[list[bool]]:
    """Stop the writers, and start them again at the end.

    The list given says whether they may: it is empty while the switch is under way, and writers
    that come back to half a restore would make it worse.
    """
    environment, log = task.environment, task.log
    with log.step("stop_writers") as told:
        if environment.has("STOP_WRITERS_CMD"):
            run_command(environment["STOP_WRITERS_CMD"], "STOP_WRITERS_CMD")
        else:
            told["state"] = "skipped"
    resume = [True]
    try:
        yield resume
    finally:
        if not resume:
            log.warn("writers_stay_stopped", "the switch was not finished: run this again")
        else:
            with log.step("start_writers") as told:
                if environment.has("START_WRITERS_CMD"):
                    run_command(environment["START_WRITERS_CMD"], "START_WRITERS_CMD")
                else:
                    told["state"] = "skipped"


def _refuse_disagreement(agreement: dict[str, int] | None) -> None:
    if agreement is None:
        return
    kinds = ("without_point", "without_row", "mislabelled", "duplicate_rows")
    if any(agreement[kind] for kind in kinds):
        raise Disagree(
            "Everything is restored, but the two stores do not agree.",
            expected="each chunk in both stores",
            actual=", ".join(f"{agreement[kind]} {kind}" for kind in kinds),
            next_step="set REINDEX_CMD to what makes the vector store follow the metadata store "
            "(here: python -m refstack.gateway.reindex), and run it or this again",
        )


def _cache(bucket: Bucket, run: Run) -> Path:
    """Where the objects of a backup are kept between runs, so that another run goes on there."""
    name = hashlib.sha256(f"{bucket.url}/{bucket.name}/{run.id}".encode()).hexdigest()[:16]
    place = Path(tempfile.gettempdir()) / f"ragdrill-scripts-{os.getuid()}" / f"restore-{name}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(
        SCRIPT,
        "Restores the vector store and the metadata store of a day beside what is there, "
        "compares them with their manifests, and only then switches.",
        READS,
        "  5  everything is restored, but the two stores do not agree\n",
    )
    arguments.add_argument("--date", required=True, help="the day of the backup, yyyy-mm-dd")
    arguments.add_argument(
        "--to-time", metavar="T", help="recover the metadata store to this moment (ISO 8601, UTC)"
    )
    arguments.add_argument("--dry-run", action="store_true", help="check, say what would be done")
    arguments.add_argument("--store", choices=manifest.STORES, help="restore this one alone")
    arguments.add_argument(
        "--backup", metavar="ID", action="append", default=[], help="this backup, not the newest"
    )
    arguments.add_argument(
        "--drop-previous", action="store_true", help="do not keep the database that was live"
    )
    arguments.add_argument(
        "--writers-are-stopped", action="store_true", help="there is no STOP_WRITERS_CMD to run"
    )
    return main(SCRIPT, arguments, NEEDS, work, argv)
