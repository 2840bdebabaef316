"""PostgreSQL's ``archive_command``: one segment of the write-ahead log into the bucket.

``archive_command = 'python -m scripts.dayops wal_archive %p'``, run in the data directory. Ends
with 0 only when the bucket holds the segment, byte for byte; PostgreSQL tries again otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import HarnessError, TargetError
from scripts.dayops import wal
from scripts.dayops.bucket import Bucket, sha256_of
from scripts.dayops.environment import Environment
from scripts.dayops.script import EXIT_CODES, Refused

NEEDS = (
    *("S3_ENDPOINT_URL", "BACKUP_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "AWS_REGION",
)
PATIENCE_S = 4.0
"""A store that is just being restarted costs no failed try; one that is away is seen to be."""
_CONTROL = Path("global/pg_control")


def archive(bucket: Bucket, path: Path, where: str) -> str:
    """Put a segment into the bucket once; returns ``stored`` or ``there``.

    Raises:
        Refused: another segment of this name is there. It is never overwritten.
        TargetError: the object store does not take it.
    """
    sha256 = sha256_of(path)
    key = where + path.name
    found = bucket.stat(key)
    if found is not None:
        if found == (path.stat().st_size, sha256):
            return "there"
        raise Refused(
            f"Another segment lies in the bucket as {key}.",
            expected=f"none, or one with the SHA-256 {sha256}",
            actual=found[1] or "one without a SHA-256",
            next_step="two clusters write to one archive: give them cluster_name each",
        )
    bucket.put(key, path, sha256)
    return "stored"


def system_identifier(control: Path) -> str:
    """Return the cluster's identifier: the first eight bytes of its control file."""
    with control.open("rb") as file:
        return str(int.from_bytes(file.read(8), sys.byteorder))


def run(argv: Sequence[str] | None = None) -> int:
    """Archive one segment; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="wal_archive",
        description=__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("segment", type=Path, help="%%p of the archive_command")
    parser.add_argument("--cluster", default="", help="cluster_name of this cluster, if it has one")
    chosen = parser.parse_args(argv)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            bucket = Bucket(Environment.with_all(*NEEDS), timeout_s=20)
            where = wal.directory(system_identifier(_CONTROL), chosen.cluster)
            archive(bucket, chosen.segment, where)
            return 0
        except TargetError as error:
            if time.monotonic() > deadline:
                print(f"wal_archive: {error}", file=sys.stderr)
                return 2
            time.sleep(0.5)
        except HarnessError as error:
            print(f"wal_archive: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"wal_archive: {error}", file=sys.stderr)
            return 2
