"""``upgrade_qdrant.sh``: another version of the vector store, compared with the one before it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.core.errors import TargetError, UsageError
from scripts.dayops import manifest, recovery, taking, upgrade_compare
from scripts.dayops import scratch_collections as scratch
from scripts.dayops.backup_qdrant import Backup
from scripts.dayops.bucket import Bucket
from scripts.dayops.commands import run_command
from scripts.dayops.leftovers import remove_left_snapshots
from scripts.dayops.script import Disagree, Refused, Task, alone, main, parser
from scripts.dayops.upgrade_journal import Journal, Logbook
from scripts.dayops.upgrade_path import check_version, is_version, refuse_path
from scripts.dayops.vectorstore import VectorStore

SCRIPT = "upgrade_qdrant.sh"
STORE = "vectordb"
NEEDS = (
    *("QDRANT_URL", "QDRANT_API_KEY", "S3_ENDPOINT_URL", "BACKUP_BUCKET"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
    *("STOP_QDRANT_CMD", "START_NEW_QDRANT_CMD", "START_OLD_QDRANT_CMD"),
)
READS = (*NEEDS, "WIPE_QDRANT_CMD", "STOP_WRITERS_CMD", "START_WRITERS_CMD")
GONE_S = 60.0
_PACE_S = 0.1
NEXT = "run this again, or with --undo"


class Upgrade:
    """One run, which may go on where another one ended."""

    def __init__(self, task: Task) -> None:
        self.task, self.log, self.chosen = task, task.log, task.arguments
        self.environment = task.environment
        self.bucket = Bucket(task.environment)
        self.logbook = Logbook(self.bucket, task.work)
        self.store = self._connect()

    # --- there --------------------------------------------------------------------------------

    def begin(self) -> Journal | None:
        """Return the journal to go on with; None where nothing is left to do. Raises Refused."""
        to, fresh = str(self.chosen.to), bool(self.chosen.fresh)
        with self.log.step("check") as told:
            last = self.logbook.load()
            if last is not None and not last.ended:
                ask = f"--to {last.to}" + (" --fresh" if last.fresh else "")
                if last.undoing or (last.to, last.fresh) != (to, fresh):
                    raise Refused(
                        "Another upgrade is half done.",
                        expected="it to be undone" if last.undoing else f"it to be ended: {ask}",
                        actual=f"--to {to}" + (" --fresh" if fresh else ""),
                        next_step="--undo takes it back",
                    )
                told.update(resumed=True, **last.summary())
                return last
            now = self.store.server().of_data
            told.update(now=now, to=to)
            if is_version(now, to):
                told["state"] = "skipped"
                self.log.say(f"it runs {now} already")
                return None
            refuse_path(now, to, fresh=fresh, last_minor=self.chosen.from_last_minor)
        return Journal(now, to, fresh)

    def plan(self, journal: Journal) -> None:
        """Say what would be done. Changes nothing."""
        points = {}
        for name in filter(lambda name: not scratch.is_scratch(name), self.store.collections()):
            with self.store.reader(name) as reader:
                points[name] = reader.count()
        held = ", ".join(f"{name} ({count} points)" for name, count in points.items())
        where = "an empty volume, filled from the backup" if journal.fresh else "the same volume"
        for each in (
            f"stop the writers, and back up {held or 'nothing'}",
            f"end {journal.now}, and start {journal.to} on {where}",
            "compare content, settings and answers, and let the writers go on",
        ):
            self.log.event("would", what=each)
            self.log.say(f"would: {each}")

    def forward(self, journal: Journal) -> None:
        """Take it to its end. Raises Disagree where the new version holds something else."""
        if not journal.writers_back:
            # From here on --undo means this upgrade, and none before it.
            self.logbook.save(journal)
            self._writers("stop_writers", "STOP_WRITERS_CMD")
            self._back_up(journal)
            self._put_new(journal)
            document = self._manifest(journal)
            if journal.fresh:
                self._fill(journal, document)
            self._compare(journal, document, exactly=False)
            journal.writers_back = True
            self.logbook.save(journal)
        self._writers("start_writers", "START_WRITERS_CMD")
        journal.ended = "done"
        self.logbook.save(journal)

    def _back_up(self, journal: Journal) -> None:
        if journal.backup:
            return
        with self.log.step("backup") as told:
            scratch.remove_left_checks(self.store)
            remove_left_snapshots(self.bucket, self.store, self.log)
            options = argparse.Namespace(full=True)
            backup = Backup(replace(self.task, arguments=options), manifest.new_run(STORE))
            taking.take(self.task, backup)
            answers = {
                entry["name"]: upgrade_compare.answers(self.store, entry["name"])
                for entry in manifest.read_manifest(self.bucket, backup.run)["collections"]
            }
            journal.backup, journal.answers = backup.run.id, answers
            self.logbook.save(journal)
            told["backup"] = journal.backup

    def _put_new(self, journal: Journal) -> None:
        """Have the new version run, whatever runs now."""
        if not (journal.touched and self._runs(journal.to)):
            journal.stopped = True
            self.logbook.save(journal)
            self._stop()
            journal.touched = True
            self.logbook.save(journal)
            self._start("start_new", "START_NEW_QDRANT_CMD")
        self._version(journal.to)

    def _fill(self, journal: Journal, document: dict[str, Any]) -> None:
        with self.log.step("restore") as told:
            if not journal.filled:
                self._refuse_content("the new version's volume", "START_NEW_QDRANT_CMD")
                journal.filled = True
                self.logbook.save(journal)
            told["collections"] = self._restore(document)

    def _restore(self, document: dict[str, Any]) -> int:
        """Bring every collection of a backup back into a volume that held none."""
        scratch.refuse_versions(document["server"], self.store.server(), self.log)
        place: Path = self.task.work / "objects"
        recovery.fetch_all(self.bucket, document, place, self.log)
        there = self.store.collections()
        for number, entry in enumerate(document["collections"]):
            name = entry["name"]
            if name in there:
                # Half of what a run before this one brought, or all of it.
                self.store.delete(name)
            path = place / recovery.object_name(number, ".snapshot")
            scratch.bring(self.store, name, entry, path, self.log)
        self.store.set_aliases(document["aliases"])
        return len(document["collections"])

    def _refuse_content(self, where: str, command: str) -> None:
        there = self.store.collections()
        if there:
            raise TargetError(
                f"{where} is not empty.",
                expected="no collection: what is there would be lost",
                actual=", ".join(there),
                next_step=f"correct {command}, and {NEXT}",
            )

    def _compare(self, journal: Journal, document: dict[str, Any], *, exactly: bool) -> None:
        with self.log.step("compare") as told:
            found = upgrade_compare.differences(
                self.store, document, journal.answers, self.log, exactly=exactly
            )
            told.update(
                collections=len(document["collections"]),
                points=sum(entry["count"] for entry in document["collections"]),
                differences=found,
            )
            if found:
                raise Disagree(
                    "The vector store does not hold or answer what it did before.",
                    expected=f"what the backup {journal.backup} tells",
                    actual="; ".join(found[:5]),
                    next_step="the writers are kept stopped: --undo takes it back",
                )

    # --- and back -----------------------------------------------------------------------------

    def back(self) -> None:
        """Undo the last upgrade. Raises Refused where that would lose what was written since."""
        journal = self.logbook.load()
        if journal is None:
            raise Refused("There is no upgrade to undo.", actual="no journal in the bucket")
        self.task.told.update(now=journal.now, to=journal.to, backup=journal.backup)
        if journal.ended == "undone":
            self.log.say(f"it was undone already: {journal.now} runs")
            return
        if journal.touched and not journal.fresh and not self.environment.has("WIPE_QDRANT_CMD"):
            raise _no_wipe()
        self._writers("stop_writers", "STOP_WRITERS_CMD")
        document = self._manifest(journal) if journal.backup else None
        if journal.writers_back and not journal.undoing and document is not None:
            self._refuse_loss(journal, document)
        journal.undoing, journal.ended = True, ""
        self.logbook.save(journal)
        if journal.stopped and document is not None:
            self._put_old(journal, document)
            self._compare(journal, document, exactly=True)
        self._writers("start_writers", "START_WRITERS_CMD")
        journal.ended = "undone"
        self.logbook.save(journal)

    def _put_old(self, journal: Journal, document: dict[str, Any]) -> None:
        self._stop()
        wiped = journal.touched and not journal.fresh
        if wiped:
            # The new version may have changed the data on disk to what the old one can't read.
            with self.log.step("wipe"):
                self._run("WIPE_QDRANT_CMD")
        self._start("start_old", "START_OLD_QDRANT_CMD")
        self._version(journal.now)
        if wiped:
            with self.log.step("restore") as told:
                self._refuse_content("the volume that was wiped", "WIPE_QDRANT_CMD")
                told["collections"] = self._restore(document)

    def _refuse_loss(self, journal: Journal, document: dict[str, Any]) -> None:
        """The writers went on after the upgrade: is what they wrote to be lost?"""
        if self.chosen.accept_loss:
            return
        with self.log.step("loss") as told:
            found = ["it does not answer, so nobody knows what was written"]
            if self.store.answers():
                found = upgrade_compare.differences(
                    self.store, document, {}, self.log, exactly=False
                )
            told["differences"] = found
        if found:
            self._writers("start_writers", "START_WRITERS_CMD")
            raise Refused(
                "What was written since the upgrade would be lost.",
                expected=f"the content of {journal.backup}, which is what would be restored",
                actual="; ".join(found[:5]),
                next_step="--accept-loss, then make the store follow the metadata (REINDEX_CMD of "
                "restore_dr.sh does that)",
            )

    # --- parts --------------------------------------------------------------------------------

    def _manifest(self, journal: Journal) -> dict[str, Any]:
        return manifest.read_manifest(self.bucket, manifest.parse_id(journal.backup))

    def _connect(self) -> VectorStore:
        return VectorStore(self.environment["QDRANT_URL"], self.environment["QDRANT_API_KEY"])

    def _writers(self, step: str, name: str) -> None:
        with self.log.step(step) as told:
            if self.environment.has(name):
                self._run(name)
            else:
                told["state"] = "skipped"

    def _run(self, name: str) -> None:
        run_command(self.environment[name], name)

    def _stop(self) -> None:
        with self.log.step("stop") as told:
            if not self.store.is_there():
                told["state"] = "skipped"
                return
            self._run("STOP_QDRANT_CMD")
            gone = "nobody to answer at QDRANT_URL any more"
            self._until(lambda: not self.store.is_there(), GONE_S, gone)

    def _start(self, step: str, name: str) -> None:
        with self.log.step(step):
            self._run(name)
        with self.log.step("ready"):
            self._until(self.store.answers, self.chosen.ready_s, "200 from /readyz")
            # Connections to the version before it are of no use any more.
            self.store = self._connect()

    def _until(self, done: Callable[[], bool], seconds: float, expected: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise TargetError(
                    "The vector store does not do what it was told.",
                    expected=f"{expected}, within {seconds:g} s",
                    next_step=f"read its log, and {NEXT}",
                )
            self.log.progress(f"waiting for {expected}")
            time.sleep(_PACE_S)

    def _runs(self, version: str) -> bool:
        return self.store.answers() and is_version(self.store.server().of_data, version)

    def _version(self, wanted: str) -> None:
        with self.log.step("version") as told:
            told["version"] = found = self.store.server().of_data
            if not is_version(found, wanted):
                raise TargetError(
                    "Another version runs than was to be started.",
                    expected=wanted,
                    actual=found,
                    next_step=f"correct the command that starts it, and {NEXT}",
                )


def _no_wipe() -> UsageError:
    return UsageError(
        "There is no way back from an upgrade in place without an empty volume.",
        expected="WIPE_QDRANT_CMD, a shell command that empties the old version's volume",
        actual="not set",
        next_step="set it (or upgrade with --fresh, which leaves the old volume alone)",
    )


def _check(task: Task) -> None:
    chosen, environment = task.arguments, task.environment
    if chosen.status or chosen.undo:
        return
    if not chosen.to:
        raise UsageError(
            "Which version is to be put in place?",
            expected="--to major.minor[.patch], --undo or --status",
            actual="none of them",
        )
    check_version(chosen.to)
    if not (environment.has("STOP_WRITERS_CMD") or chosen.writers_are_stopped or chosen.dry_run):
        raise UsageError(
            "Nobody stops the writers: what they write meanwhile could be lost.",
            expected="STOP_WRITERS_CMD, a shell command that ends all writing",
            actual="not set",
            next_step="set it, or stop them by hand and add --writers-are-stopped",
        )
    if not chosen.fresh and not chosen.dry_run and not environment.has("WIPE_QDRANT_CMD"):
        raise _no_wipe()


def work(task: Task) -> None:
    """Upgrade, go on with an upgrade, or take one back."""
    _check(task)
    upgrade = Upgrade(task)
    if task.arguments.status:
        journal = upgrade.logbook.load()
        there = upgrade.store.server().of_data if upgrade.store.answers() else "does not answer"
        task.told.update(version=there, last=None if journal is None else journal.summary())
        return
    with alone(task.environment, STORE):
        if task.arguments.undo:
            upgrade.back()
            return
        journal = upgrade.begin()
        if journal is None:
            task.told["already"] = True
        elif task.arguments.dry_run:
            upgrade.plan(journal)
            task.told["dry_run"] = True
        else:
            upgrade.forward(journal)
            task.told.update(was=journal.now, now=journal.to, backup=journal.backup)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(
        SCRIPT,
        "Upgrades the vector store by one minor version in place, or into a fresh volume that is "
        "filled from a backup (which a new major version needs). Everything is backed up before "
        "and compared after; --undo takes it back. How far it has come is written to the bucket, "
        "so another run goes on from there.",
        READS,
        "  5  the new version is there, and does not hold or answer what the old one did: --undo\n",
    )
    add = arguments.add_argument
    add("--to", metavar="VERSION", help="the version that START_NEW_QDRANT_CMD starts: 1.19[.2]")
    add("--fresh", action="store_true", help="the new version gets an empty volume")
    add("--from-last-minor", action="store_true", help="what runs is the last minor of its major")
    add("--undo", action="store_true", help="put the old version and what it held back")
    add("--accept-loss", action="store_true", help="undo though something was written since")
    add("--status", action="store_true", help="say what runs and how far it is; change nothing")
    add("--dry-run", action="store_true", help="check, and say what would be done")
    add("--writers-are-stopped", action="store_true", help="there is no STOP_WRITERS_CMD to run")
    add(
        "--ready-s", type=float, default=300.0, help="seconds that a version may take to load (300)"
    )
    return main(SCRIPT, arguments, NEEDS, work, argv)
