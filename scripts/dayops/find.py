"""Which backup is meant: by day, by moment or by id, with a reason where there is none."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.core.errors import UsageError
from scripts.dayops import manifest
from scripts.dayops.bucket import Bucket
from scripts.dayops.manifest import NAME, Run
from scripts.dayops.script import Refused


def parse_moment(text: str) -> datetime:
    """Return a moment from ISO 8601; UTC where it names no zone. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            "This is no moment.",
            expected="ISO 8601, such as 2026-05-09T13:45:00Z",
            actual=text,
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def find(bucket: Bucket, store: str, day: str, until: datetime | None = None) -> Run:
    """Return the newest finished backup of a store of that day.

    With ``until`` it is the newest that was finished by then, of that day or, failing that, of a
    day before: the log carries on from it.

    Raises:
        Refused: there is none, or the one that is meant is damaged. Another one is never taken
            silently in its place.
    """
    unfinished, late = [], []
    candidates = [d for d in manifest.days(bucket) if d == day or (until and d < day)]
    for each in candidates:
        for run in manifest.runs_of(bucket, each, store):
            if bucket.stat(run.key(NAME)) is None:
                unfinished.append(run.id)
                continue
            if until is not None:
                ended = manifest.ended_at(manifest.read_manifest(bucket, run))
                if ended > until:
                    late.append(run.id)
                    continue
            return run
    seen = [f"unfinished: {', '.join(unfinished)}"] if unfinished else []
    seen += [f"finished after that moment: {', '.join(late)}"] if late else []
    known = ", ".join(manifest.days(bucket)[:10]) or "none"
    raise Refused(
        f"There is no backup of the {store} of {day}"
        + (f" that was finished by {until.isoformat()}." if until else "."),
        expected=f"one of the days with backups: {known}",
        actual="; ".join(seen) or "none at all",
        next_step="give another --date; an unfinished backup is never used",
    )


def newest(bucket: Bucket, store: str) -> Run:
    """Return the newest finished backup of a store. Raises Refused."""
    for run in manifest.complete_runs(bucket, store):
        return run
    raise Refused(
        f"There is no backup of the {store}.",
        expected=f"a run with a {NAME} in the bucket {bucket.name}",
        next_step="scripts/backup_qdrant.sh and scripts/backup_metadata.sh take some",
    )
