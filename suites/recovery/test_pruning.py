"""maintain/snapshot-nightly: which backups go, and that a bad one is not taken for a good one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.bucket import Backups, Kept, flipped, taken
from fixtures.scripts import RunScript
from harness import conformance, needs
from harness.core.evidence import Evidence

VECTORS, METADATA = "backup_qdrant.sh", "backup_metadata.sh"
KEEP_NOTHING = ("--keep-days", "0", "--keep-weeks", "0")
ROLES = ["vectordb", "objectstore", "edge"]


@conformance("maintain/snapshot-nightly", since="0.2")
@needs("read", "write", "destroy", roles=ROLES)
def test_pruning_keeps_the_last_good_backup_and_what_it_needs(
    run_script: RunScript, backups: Backups, write_document: Callable[[], str], evidence: Evidence
) -> None:
    """Old backups MUST go by policy, never the last good one nor an object that it refers to."""
    write_document()
    old = taken(run_script(VECTORS))
    # The newest backup refers to the objects of the old one, for nothing has changed.
    ran = run_script(VECTORS, *KEEP_NOTHING)
    newest = taken(ran)
    left = backups.runs("vectordb")
    evidence.require(
        "the last good backup stays, though the policy keeps nothing",
        newest in left,
        expected=newest,
        actual=left,
    )
    evidence.require("the others are gone", left == [newest], expected=[newest], actual=left)
    there = backups.keys()
    needed = [each["key"] for each in backups.manifest(newest)["objects"]]
    evidence.require(
        "what the kept backup refers to is still there",
        all(key in there for key in needed),
        expected=needed,
        actual=[key for key in there if key.startswith(old[:10])],
    )


def lacking(backups: Backups, run: str) -> list[str]:
    """Return what a backup names and the bucket does not have in its size."""
    there = backups.keys()
    objects = backups.manifest(run)["objects"]
    return [each["key"] for each in objects if there.get(each["key"]) != each["size"]]


@conformance("maintain/snapshot-nightly", since="0.2")
@needs("read", "write", "destroy", roles=ROLES)
@pytest.mark.timeout(240)
def test_a_backup_that_was_found_to_be_bad_is_neither_kept_for_a_good_one_nor_built_upon(
    run_script: RunScript, backups: Backups, write_document: Callable[[], str], evidence: Evidence
) -> None:
    """Once a verification has found the newest backup to be bad, the next one MUST refer to none
    of it, and pruning MUST keep the newest backup that is good instead."""
    write_document()
    good = taken(run_script(VECTORS, "--full"))
    bad = taken(run_script(VECTORS, "--full"))
    largest = max(backups.manifest(bad)["objects"], key=lambda each: each["size"])["key"]
    before = backups.read(largest)
    backups.write(Kept(largest, flipped(before.data), before.metadata))
    verified = run_script("verify_backup.sh", "--store", "vectordb")
    evidence.require(
        "the damage is found",
        verified.exit_code == 1 and backups.read(largest).data != before.data,
        expected="exit code 1",
        actual=verified.told,
    )
    ran = run_script(VECTORS, "--no-prune")
    after = taken(ran)
    evidence.require(
        "the next backup refers to nothing of it",
        all(not each["object"]["reused"] for each in backups.manifest(after)["collections"]),
        expected="every collection copied anew",
        actual=ran.event("finished"),
    )
    backups.forget(after)
    there = set(backups.runs("vectordb"))
    pruned = run_script(VECTORS, "--prune-only", *KEEP_NOTHING)
    evidence.require(
        "pruning ends well", pruned.exit_code == 0, expected="exit code 0", actual=pruned.told
    )
    left = backups.runs("vectordb")
    evidence.require(
        "no backup is taken where none is asked for",
        set(left) <= there,
        expected="none but those that were there",
        actual=sorted(set(left) - there),
    )
    evidence.require(
        "the newest good backup stays, and no other", left == [good], expected=[good], actual=left
    )
    lost = lacking(backups, good)
    evidence.require("with all that it names", not lost, expected="none missing", actual=lost)


@conformance("maintain/snapshot-nightly", since="0.2")
@needs("read", "write", "destroy", roles=["metadata", "objectstore", "edge"])
def test_pruning_by_itself_needs_no_new_backup(
    run_script: RunScript, backups: Backups, evidence: Evidence
) -> None:
    """Old backups of the metadata store MUST go without a new one being taken, for a disk that has
    no room for another, and never the last good one."""
    taken(run_script(METADATA))
    newest = taken(run_script(METADATA))
    ran = run_script(METADATA, "--prune-only", *KEEP_NOTHING)
    evidence.require(
        "pruning ends well", ran.exit_code == 0, expected="exit code 0", actual=ran.told
    )
    left = backups.runs("metadata")
    evidence.require(
        "the newest stays, and no other was taken",
        left == [newest],
        expected=[newest],
        actual=left,
    )
    lost = lacking(backups, newest)
    evidence.require("with all that it names", not lost, expected="none missing", actual=lost)
