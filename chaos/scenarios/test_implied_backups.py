"""playbook/implied: what is wrong with the backups ends by the step, and not by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from chaos.faults.identity import settings_of
from chaos.playbooks import Seen, restartable
from chaos.playbooks.backup_too_old import BACKUP_TOO_OLD
from chaos.playbooks.disk_full import DISK_FULL
from chaos.playbooks.failed_restore import FAILED_RESTORE
from fixtures.bucket import MANIFEST, Backups, Kept, flipped, seal, taken
from fixtures.remedy import Remedy, Trouble
from fixtures.scripts import RunScript
from harness import conformance, needs
from harness.drivers.base import Stack

ROLES = ["vectordb", "objectstore", "metadata", "metrics", "exporter"]
STORES = {"vectordb": "backup_qdrant.sh", "metadata": "backup_metadata.sh"}
TOO_OLD = timedelta(days=3)
NIGHTLY = timedelta(hours=26)
PACE_S = 0.4

OLD_WEEKS = (5, 6, 7)
"""Kept by the policy of the nightly backups (eight weeks), not by that of the step (four)."""

FULL = 0.7
CROWDED = 0.85
CAPACITY = "EXPORTER_S3_CAPACITY_BYTES"


@pytest.fixture
def sound(run_script: RunScript, backups: Backups) -> Iterator[dict[str, str]]:
    """A whole backup of each store, by store; what is taken later is gone at the end."""
    ids = {store: taken(run_script(script)) for store, script in STORES.items()}
    before = {run for store in STORES for run in backups.runs(store)}
    yield ids
    backups.forget(*(run for s in STORES for run in backups.runs(s) if run not in before))


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "destroy", roles=ROLES)
@pytest.mark.timeout(600)
def test_a_backup_taken_now_ends_the_lack_of_one(
    remedy: Remedy, sound: dict[str, str], backups: Backups
) -> None:
    """When the newest backups are three days old, the step MUST leave new ones that restore, and
    without it they stay old."""

    def look() -> Seen:
        ended = {
            store: max(str(backups.manifest(run)["ended_at"]) for run in backups.runs(store))
            for store in STORES
        }
        limit = (datetime.now(UTC) - NIGHTLY).isoformat()
        return Seen(all(each > limit for each in ended.values()), ended)

    @contextmanager
    def aged(_arm: str) -> Iterator[None]:
        old = (datetime.now(UTC) - TOO_OLD).isoformat(timespec="milliseconds")
        with ExitStack() as edits:
            for store in STORES:
                for run in backups.runs(store):
                    edits.enter_context(backups.edited(run, {"ended_at": old}, sealed=True))
            yield

    trouble = Trouble(
        what="backups that are too old",
        on="objectstore",
        begin=aged,
        staged={"days": TOO_OLD.days},
        look=look,
        pace_s=PACE_S,
    )
    remedy.prove(BACKUP_TOO_OLD, BACKUP_TOO_OLD.step("back-up-now"), trouble)


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "destroy", roles=ROLES)
@pytest.mark.timeout(600)
def test_a_new_backup_ends_the_lack_of_one_that_restores(
    remedy: Remedy, sound: dict[str, str], backups: Backups
) -> None:
    """When an object of the newest backup is damaged, the step MUST leave a newest one that is
    whole, and without it the newest stays damaged."""

    def look() -> Seen:
        newest = {store: backups.runs(store)[-1] for store in STORES}
        wrong = [
            each["key"]
            for run in newest.values()
            for each in backups.manifest(run)["objects"]
            if sha256(backups.read(each["key"]).data).hexdigest() != each["sha256"]
        ]
        return Seen(not wrong, {"newest": newest, "wrong": wrong})

    @contextmanager
    def damaged(_arm: str) -> Iterator[None]:
        objects = backups.manifest(backups.runs("vectordb")[-1])["objects"]
        key = max(objects, key=lambda each: int(each["size"]))["key"]
        with backups.changed(key, flipped(backups.read(key).data)):
            yield

    trouble = Trouble(
        what="one flipped bit in the newest backup",
        on="objectstore",
        begin=damaged,
        staged={"store": "vectordb"},
        look=look,
        pace_s=PACE_S,
    )
    remedy.prove(FAILED_RESTORE, FAILED_RESTORE.step("back-up-anew"), trouble)


class Bucket:
    """A bucket that old backups fill, on a disk that is made to look small."""

    def __init__(self, stack: Stack, backups: Backups) -> None:
        self._stack, self._backups = stack, backups
        self.capacity = 0

    def look(self) -> Seen:
        """Whether there is room, by the sizes of the objects themselves."""
        used = sum(self._backups.keys().values())
        share = used / self.capacity if self.capacity else 0.0
        return Seen(share < FULL, {"used": used, "capacity": self.capacity})

    @contextmanager
    def filled(self, newest: str) -> Iterator[None]:
        """Have weeks of old backups, each as large as all that is there, for the block."""
        used = sum(self._backups.keys().values())
        old = [self._plant(newest, weeks, used) for weeks in OLD_WEEKS]
        before = settings_of(self._stack, "exporter").get(CAPACITY, "")
        try:
            self.capacity = int(sum(self._backups.keys().values()) / CROWDED)
            self._set(str(self.capacity))
            yield
        finally:
            self.capacity = 0
            self._set(before)
            self._backups.forget(*old)

    def _set(self, capacity: str) -> None:
        restartable(self._stack, "exporter").restart("exporter", {CAPACITY: capacity})
        self._stack.ready("exporter")

    def _plant(self, newest: str, weeks: int, size: int) -> str:
        """Copy a backup's manifest to an earlier day, with one large object of its own."""
        then = datetime.now(UTC) - timedelta(weeks=weeks)
        run = f"{then:%Y-%m-%d}/{newest.partition('/')[2]}"
        ballast = bytes(size)
        key = f"{run}/ballast.snapshot"
        self._backups.write(Kept(key, ballast, {}))
        entry = {"key": key, "size": size, "sha256": sha256(ballast).hexdigest()}
        document = self._backups.manifest(newest) | {
            "id": run,
            "started_at": then.isoformat(timespec="milliseconds"),
            "ended_at": then.isoformat(timespec="milliseconds"),
            "objects": [entry],
            "collections": [],
        }
        document["seal"] = seal(document)
        data = json.dumps(document, indent=1, sort_keys=True).encode()
        self._backups.write(Kept(f"{run}/{MANIFEST}", data, {}))
        return run


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(600)
def test_pruning_makes_room_in_a_bucket_that_fills_up(
    remedy: Remedy, sound: dict[str, str], stack: Stack, backups: Backups
) -> None:
    """When old backups fill the bucket to more than 70 %, the step MUST make room and keep what is
    young, and without it the bucket stays full."""
    bucket = Bucket(stack, backups)
    newest = sound["vectordb"]

    def kept() -> list[str]:
        return [run for run in sound.values() if _whole(backups, run)]

    trouble = Trouble(
        what="a bucket full of old backups",
        on="objectstore",
        begin=lambda _arm: bucket.filled(newest),
        staged={"weeks": list(OLD_WEEKS)},
        look=bucket.look,
        kept=kept,
        pace_s=PACE_S,
    )
    remedy.prove(DISK_FULL, DISK_FULL.step("prune-backups"), trouble)


def _whole(backups: Backups, run: str) -> bool:
    """Whether a backup and all that it names is there."""
    there = backups.keys()
    return f"{run}/{MANIFEST}" in there and all(
        each["key"] in there for each in backups.manifest(run)["objects"]
    )
