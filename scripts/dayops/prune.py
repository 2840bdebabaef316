"""Which old backups go: by policy, whole runs at a time, and never the last good one."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.core.errors import UsageError
from scripts.dayops import manifest
from scripts.dayops.bucket import Bucket
from scripts.dayops.manifest import NAME, STARTED, Run
from scripts.dayops.script import Log, Refused

KEEP_DAYS, KEEP_WEEKS = 14, 8
_ABANDONED = timedelta(hours=24)


@dataclass(frozen=True)
class Policy:
    """Every run of the last ``days`` days, and of each of the last ``weeks`` weeks the newest."""

    days: int = KEEP_DAYS
    weeks: int = KEEP_WEEKS


def add_options(parser: Any) -> None:
    """Add the policy to a script's arguments."""
    parser.add_argument(
        "--keep-days",
        type=int,
        default=KEEP_DAYS,
        help="keep every backup that young (%(default)s)",
    )
    parser.add_argument(
        "--keep-weeks",
        type=int,
        default=KEEP_WEEKS,
        help="and of each week before, as many back, the newest (%(default)s)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--no-prune", action="store_true", help="remove nothing")
    which.add_argument(
        "--prune-only", action="store_true", help="take no backup: for a disk that has no room"
    )


def policy_of(arguments: Any) -> Policy:
    """Return the policy that was asked for. Raises UsageError for a negative number."""
    for name, value in (
        ("--keep-days", arguments.keep_days),
        ("--keep-weeks", arguments.keep_weeks),
    ):
        if value < 0:
            raise UsageError(f"{name} is below 0.", expected="0 or more", actual=value)
    return Policy(arguments.keep_days, arguments.keep_weeks)


def kept(runs: Sequence[Run], policy: Policy, now: datetime) -> set[Run]:
    """Return the runs that the policy keeps; pure."""
    keep = {run for run in runs if now - run.moment <= timedelta(days=policy.days)}
    weeks: dict[tuple[int, int], Run] = {}
    for run in sorted(runs):
        if now - run.moment <= timedelta(weeks=policy.weeks):
            weeks[run.moment.isocalendar()[:2]] = run
    return keep | set(weeks.values())


def prune(bucket: Bucket, store: str, policy: Policy, log: Log) -> list[str]:
    """Remove what the policy does not keep; returns the ids of the runs that went.

    The newest good backup (``manifest.is_good``) stays whatever its age, and so does every object
    that a kept backup refers to. A manifest goes first and its objects afterwards, so that an
    interruption never leaves something that looks whole. What interrupted runs left goes as well.
    """
    now = datetime.now(UTC)
    complete = list(manifest.complete_runs(bucket, store))
    keep = kept(complete, policy, now)
    last_good = next((run for run in complete if manifest.is_good(bucket, run)), None)
    if last_good is not None:
        keep.add(last_good)
    else:
        # Nothing here can be restored for sure, so whatever there is may be all there is.
        keep = set(complete)
    referred = {each.key for run in keep for each in _objects(bucket, run, log)}
    gone = []
    for run in complete:
        if run not in keep:
            bucket.remove([run.key(NAME)])
            _remove_rest(bucket, run, referred)
            log.event("pruned", backup=run.id)
            gone.append(run.id)
    whole = set(complete)
    for day in manifest.days(bucket):
        for run in manifest.runs_of(bucket, day, store):
            if run not in whole and _abandoned(bucket, run, now, referred):
                _remove_rest(bucket, run, referred)
                log.event("removed_unfinished", backup=run.id)
    return gone


def _objects(bucket: Bucket, run: Run, log: Log) -> list[Any]:
    try:
        return list(manifest.objects_of(manifest.read_manifest(bucket, run)))
    except Refused as error:
        log.warn("backup_unreadable", error.what, backup=run.id)
        return []


def _remove_rest(bucket: Bucket, run: Run, referred: set[str]) -> None:
    keys = [each.key for each in bucket.objects(f"{run.id}/") if each.key not in referred]
    if keys:
        bucket.remove(keys)


def _abandoned(bucket: Bucket, run: Run, now: datetime, referred: set[str]) -> bool:
    """Whether a run without a manifest is over: it ran here, where we hold the lock, or is old."""
    there = [each.key for each in bucket.objects(f"{run.id}/")]
    if all(key in referred for key in there):
        return False
    data = bucket.read(run.key(STARTED))
    try:
        host = json.loads(data or b"{}").get("host")
    except (ValueError, AttributeError):
        host = None
    return host == socket.gethostname() or now - run.moment > _ABANDONED


def prune_wal(bucket: Bucket, log: Log) -> int:
    """Remove the log segments that no base backup needs any more; returns their number.

    For each cluster: what lies before the first segment of its oldest backup. A cluster without a
    backup keeps everything.
    """
    oldest: dict[str, str] = {}
    for run in manifest.complete_runs(bucket, "metadata"):
        try:
            document = manifest.read_manifest(bucket, run)
        except Refused as error:
            # Where it starts is unknown, and so is what it needs.
            log.warn("backup_unreadable", error.what, backup=run.id)
            return 0
        where, start = str(document["wal"]), str(document["start_wal"])
        oldest[where] = min(start[8:], oldest.get(where, start[8:]))
    removed = 0
    for where, start in oldest.items():
        keys = []
        for each in bucket.objects(where):
            name = each.key.rsplit("/", 1)[-1]
            # Segments only: a history file (.history) says how timelines hang together.
            if len(name.split(".")[0]) == 24 and name[8:24] < start:
                keys.append(each.key)
        if keys:
            bucket.remove(keys)
            removed += len(keys)
    return removed
