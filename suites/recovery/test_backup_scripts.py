"""maintain/snapshot-nightly, backup/version-recorded: what the scripts put away is whole."""

from __future__ import annotations

import contextlib
import hashlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from qdrant_client import QdrantClient

from fixtures.bucket import Backups, taken
from fixtures.holdings import Content
from fixtures.scripts import RunScript, StartScript
from harness import conformance, needs
from harness.checks.digest import Digest
from harness.core.errors import TargetError
from harness.core.evidence import Evidence, NotConformant
from harness.drivers.base import Kill, Restart, Stack

NIGHTLY_S = 120.0
"""The guide's duration of the daily increment (section 4)."""
VECTORS, METADATA = "backup_qdrant.sh", "backup_metadata.sh"


@conformance("maintain/snapshot-nightly", since="0.2")
@needs("read", "write", roles=["vectordb", "objectstore", "edge"])
def test_the_nightly_backup_is_whole_and_copies_what_changed(
    run_script: RunScript,
    backups: Backups,
    content: Content,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """The nightly backup MUST put one snapshot per collection under yyyy-mm-dd/ that restores to
    what the collection holds, within 2 minutes, and copy only what changed since the last one."""
    write_document()
    first = taken(run_script(VECTORS))
    evidence.require(
        "the backup lies under the day it was taken",
        first.startswith(f"{datetime.now(UTC):%Y-%m-%d}/"),
        expected="yyyy-mm-dd/",
        actual=first,
    )
    same = run_script(VECTORS)
    unchanged = backups.manifest(taken(same))
    evidence.require(
        "what has not changed is referred to, not copied",
        all(each["object"]["reused"] for each in unchanged["collections"]),
        expected="no collection copied again",
        actual=same.event("finished"),
    )
    write_document()
    began = time.monotonic()
    again = run_script(VECTORS)
    seconds = time.monotonic() - began
    third = backups.manifest(taken(again))
    evidence.measure(
        "nightly backup", seconds, "s", n=sum(c["count"] for c in third["collections"])
    )
    evidence.require(
        "the daily increment takes at most 2 minutes",
        seconds <= NIGHTLY_S,
        expected=f"{NIGHTLY_S:.0f} s",
        actual=f"{seconds:.1f} s",
    )
    held = {each["name"]: Digest.from_json(each["digest"]) for each in third["collections"]}
    live = {name: found for name, (found, _) in content.now().items()}
    evidence.require(
        "the backup holds what each collection holds now",
        held == live,
        expected={name: (each.count, each.total[:16]) for name, each in live.items()},
        actual={name: (each.count, each.total[:16]) for name, each in held.items()},
    )
    there = backups.keys()
    lost = [each["key"] for each in third["objects"] if there.get(each["key"]) != each["size"]]
    evidence.require("every snapshot is there", not lost, expected="none missing", actual=lost)
    evidence.require(
        "an earlier run of the day is still there",
        backups.manifest(first)["objects"][0]["key"] in there,
        expected=first,
        actual=backups.runs("vectordb"),
    )
    verified = run_script("verify_backup.sh", "--store", "vectordb", "--no-record")
    ran = verified
    evidence.require(
        "the backup restores to what its manifest says",
        ran.exit_code == 0,
        expected="exit code 0",
        actual=ran.told,
    )


@conformance("recovery/partial-backup", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "objectstore", "edge"])
def test_an_interrupted_backup_never_looks_whole(
    run_script: RunScript,
    start_script: StartScript,
    backups: Backups,
    vectordb: QdrantClient,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """A backup that is killed midway MUST leave nothing that can be taken for a backup, and
    nothing that the next run does not clean up."""
    write_document()
    before = backups.runs("vectordb")
    moments: tuple[dict[str, Any], ...] = (
        {"step": "collection", "state": "started"},
        {"step": "collection", "state": "done"},
        {"step": "manifest", "state": "started"},
    )
    for moment in moments:
        running = start_script(VECTORS, "--full")
        running.wait_for_event("step", **moment)
        running.kill(signal.SIGKILL)
        ran = running.finish()
        whole = [run for run in backups.runs("vectordb") if run not in before]
        finished = ran.exit_code == 0
        evidence.require(
            f"killed at {moment['step']} {moment['state']}: no backup looks whole",
            finished or not any(_lacks(backups, run) for run in whole),
            expected="no manifest, or everything that it names",
            actual=whole,
        )
        before = backups.runs("vectordb")
    after = run_script(VECTORS)
    ran = after
    evidence.require(
        "the next backup succeeds", ran.exit_code == 0, expected="exit code 0", actual=ran.told
    )
    whole = backups.runs("vectordb")
    needed = {each["key"] for run in whole for each in backups.manifest(run)["objects"]}
    litter = [
        key
        for key in backups.keys()  # noqa: SIM118 - a method of ours, no mapping
        if re.match(r"[^/]+/vectordb-", key) and key.rpartition("/")[0] not in whole
        if key not in needed
    ]
    evidence.require(
        "what the killed runs left in the bucket is gone",
        not litter,
        expected="nothing that no backup refers to",
        actual=litter,
    )
    left = [
        snapshot.name
        for each in vectordb.get_collections().collections
        for snapshot in vectordb.list_snapshots(each.name)
    ]
    evidence.require(
        "what they left on the vector store is gone", not left, expected="none", actual=left
    )


def _lacks(backups: Backups, run: str) -> bool:
    """Whether a backup that looks whole lacks something, by its bytes."""
    for each in backups.manifest(run)["objects"]:
        if not backups.has(each["key"]):
            return True
        if hashlib.sha256(backups.read(each["key"]).data).hexdigest() != each["sha256"]:
            return True
    return not backups.manifest(run)["objects"]


@conformance("backup/version-recorded", since="0.2")
@needs("read", "write", roles=["vectordb", "metadata", "objectstore", "edge"])
def test_a_backup_records_what_its_restore_needs(
    vectordb: QdrantClient,
    metadata: Callable[[], psycopg.Connection],
    run_script: RunScript,
    backups: Backups,
    content: Content,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """A backup MUST record the version of its server, and of each collection the configuration,
    payload indexes and aliases, because a snapshot does not."""
    write_document()
    vectors = backups.manifest(taken(run_script(VECTORS)))
    told = vectordb.info()
    evidence.require(
        "the vector store's version is recorded",
        vectors["server"].get("version") == told.version,
        expected=told.version,
        actual=vectors["server"],
    )
    recorded = {each["name"]: each["configuration"] for each in vectors["collections"]}
    live = {name: settings for name, (_, settings) in content.now().items()}
    for name, settings in live.items():
        for part, wanted in settings.items():
            evidence.require(
                f"{part} of {name} is recorded as it is",
                recorded.get(name, {}).get(part) == wanted,
                expected=wanted,
                actual=recorded.get(name, {}).get(part),
            )
    aliases = content.aliases()
    evidence.require(
        "the aliases are recorded",
        vectors["aliases"] == aliases and bool(aliases),
        expected=aliases,
        actual=vectors["aliases"],
    )
    rows_backup = taken(run_script(METADATA))
    database = backups.manifest(rows_backup)
    with metadata() as connection:
        row = connection.execute(
            "SELECT current_setting('server_version'), system_identifier::text"
            " FROM pg_control_system()"
        ).fetchone()
        rows = connection.execute("SELECT count(*) FROM public.documents").fetchone()
    assert row is not None and rows is not None
    evidence.require(
        "the metadata store's version and cluster are recorded",
        (database["server"].get("version"), database.get("system_identifier")) == tuple(row),
        expected=row,
        actual=(database["server"], database.get("system_identifier")),
    )
    evidence.require(
        "the metadata store's content is recorded",
        database["tables"].get("public.documents", {}).get("rows") == rows[0] and rows[0] > 0,
        expected=rows[0],
        actual=database["tables"].get("public.documents"),
    )
    server = database["server"]
    newer = {**server, "major": int(server["major"]) + 1}
    with backups.edited(rows_backup, {"server": newer}, sealed=True):
        ran = run_script(
            "restore_dr.sh",
            *("--date", rows_backup[:10], "--backup", rows_backup, "--store", "metadata"),
            "--dry-run",
        )
    evidence.require(
        "by its version, a backup that is newer than the metadata store's server is refused",
        ran.exit_code == 1 and "newer than the server" in ran.stderr,
        expected="exit code 1: newer than the server",
        actual=ran.told,
    )


@conformance("recovery/partial-backup", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "destroy", roles=["vectordb", "objectstore", "edge"])
@pytest.mark.timeout(600)
def test_a_backup_under_fire_is_whole_or_none(
    stack: Stack,
    run_script: RunScript,
    start_script: StartScript,
    backups: Backups,
    content: Content,
    write_document: Callable[[], str],
    evidence: Evidence,
) -> None:
    """A backup that is taken while documents are written, and while the object store or the vector
    store dies midway, MUST either hold everything that was acknowledged before it began or not
    look like a backup."""
    if not isinstance(stack, Kill) or not isinstance(stack, Restart):
        raise TargetError("This target's stores can't be killed.", actual=stack.name)
    names = [write_document() for _ in range(5)]
    before = set(backups.runs("vectordb"))
    for role in (None, "objectstore", "vectordb"):
        with _writing(write_document):
            running = start_script(VECTORS, "--full")
            running.wait_for_event("step", step="collection", state="started")
            if role is not None:
                stack.kill(role)
            ran = running.finish(600)
            if role is not None:
                stack.start(role)
        what = f"{role} killed midway" if role else "written to meanwhile"
        fresh = sorted(set(backups.runs("vectordb")) - before)
        before |= set(fresh)
        evidence.require(
            f"{what}: a backup that failed does not look whole",
            (ran.exit_code == 0) == bool(fresh),
            expected="a manifest if and only if the script ended with 0",
            actual=(ran.told, fresh),
        )
        if role is None:
            evidence.require(
                "a backup under writes succeeds",
                bool(fresh),
                expected="exit code 0",
                actual=ran.told,
            )
        for run in fresh:
            verified = run_script("verify_backup.sh", "--backup", run, "--no-record")
            evidence.require(
                f"{what}: the backup restores to what its manifest says",
                verified.exit_code == 0,
                expected="exit code 0",
                actual=verified.told,
            )
            held = content.documents_in_backup(backups, run)
            evidence.require(
                f"{what}: nothing that was acknowledged before is missing",
                set(names) <= held,
                expected=names,
                actual=sorted(set(names) & held),
            )


@contextlib.contextmanager
def _writing(write_document: Callable[[], str]) -> Iterator[None]:
    """Have documents written all the time; what is refused while a store is down is no matter."""
    over = threading.Event()

    def write_on() -> None:
        while not over.is_set():
            with contextlib.suppress(NotConformant):
                write_document()

    writer = threading.Thread(target=write_on, daemon=True)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join(60)
