"""backup/wal-archive: the metadata store's log reaches the bucket, and a gap in it is noticed."""

from __future__ import annotations

import hashlib

from fixtures.bucket import Backups, flipped, taken
from fixtures.holdings import ARCHIVE_S, Wal
from fixtures.scripts import RunScript
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack, WalArchive

METADATA = "backup_metadata.sh"


@conformance("backup/wal-archive", since="0.2")
@needs("read", "write", roles=["metadata", "objectstore"])
def test_the_log_reaches_the_bucket(
    stack: Stack, wal: Wal, backups: Backups, evidence: Evidence
) -> None:
    """Each finished segment of the metadata store's write-ahead log MUST reach the backup bucket,
    byte for byte, with its SHA-256."""
    segment = wal.finish_segment()
    evidence.require(
        "PostgreSQL archives the segment",
        wal.wait_archived(segment),
        expected=f"{segment} within {ARCHIVE_S:.0f} s",
        actual="pg_stat_archiver does not name it",
    )
    key = wal.key(segment)
    evidence.require(
        "the segment is in the bucket",
        key is not None,
        expected=segment,
        actual=backups.keys("wal/"),
    )
    assert key is not None
    kept = backups.read(key)
    sha256 = hashlib.sha256(kept.data).hexdigest()
    evidence.require(
        "its SHA-256 is recorded with it",
        kept.metadata.get("x-amz-meta-sha256") == sha256,
        expected=sha256,
        actual=kept.metadata,
    )
    if isinstance(stack, WalArchive):
        written = (stack.archive_dir / segment).read_bytes()
        evidence.require(
            "it is what PostgreSQL wrote",
            kept.data == written,
            expected=f"{len(written)} bytes",
            actual=f"{len(kept.data)} bytes",
        )


@conformance("backup/wal-archive", since="0.2")
@needs("read", "write", "destroy", roles=["metadata", "objectstore"])
def test_a_gap_in_the_log_is_noticed(
    run_script: RunScript, wal: Wal, backups: Backups, evidence: Evidence
) -> None:
    """A segment that is missing or damaged in the archive MUST be noticed when the backup is
    verified, and not when it is needed."""
    run = taken(run_script(METADATA))
    first, last = wal.finish_segment(), wal.finish_segment()
    evidence.require(
        "the log is archived", wal.wait_archived(last), expected=last, actual="not within the time"
    )
    check = ("--backup", run, "--checksums-only", "--no-record")
    ran = run_script("verify_backup.sh", *check)
    evidence.require(
        "the unbroken log passes", ran.exit_code == 0, expected="exit code 0", actual=ran.told
    )
    key = wal.key(first)
    assert key is not None
    with backups.changed(key, None):
        ran = run_script("verify_backup.sh", *check)
        evidence.require(
            "a missing segment is noticed",
            ran.exit_code == 1 and "gap" in ran.stderr and first in ran.stderr,
            expected=f"exit code 1, naming {first}",
            actual=ran.told,
        )
    with backups.changed(key, flipped(backups.read(key).data)):
        ran = run_script("verify_backup.sh", *check)
        evidence.require(
            "a damaged segment is noticed",
            ran.exit_code == 1 and first in ran.stderr,
            expected=f"exit code 1, naming {first}",
            actual=ran.told,
        )
