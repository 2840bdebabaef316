"""Manifests and where they lie: what a backup holds, sealed, and which backups there are."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from harness import __version__
from harness.core.errors import UsageError
from scripts.dayops.bucket import Bucket, Stored
from scripts.dayops.script import Refused

FORMAT = "ragdrill-backup-1"
NAME = "manifest.json"
STARTED = "started.json"
VERIFICATION = "verification.json"
STORES = ("vectordb", "metadata")
WAL = "wal/"
_ID = re.compile(r"(\d{4}-\d\d-\d\d)/(vectordb|metadata)-(\d{6})Z-([0-9a-f]{6})")


@dataclass(frozen=True, order=True)
class Run:
    """One run of a backup script: its directory in the bucket, which is its id."""

    moment: datetime
    id: str
    store: str

    @property
    def day(self) -> str:
        return self.id.split("/")[0]

    def key(self, name: str) -> str:
        """The key of an object of this run."""
        return f"{self.id}/{name}"


def new_run(store: str, now: datetime | None = None) -> Run:
    """Return a run that nobody has had before.

    Runs of one second are in order too: half of the id's last part is the part of the second in
    which it began (in 1/4096 s), the other half is random.
    """
    began = now or datetime.now(UTC)
    part = f"{began.microsecond * 4096 // 1_000_000:03x}{secrets.randbelow(4096):03x}"
    moment = began.replace(microsecond=0)
    return Run(moment, f"{moment:%Y-%m-%d}/{store}-{moment:%H%M%S}Z-{part}", store)


def parse_id(text: str) -> Run:
    """Return the run of an id.

    Raises:
        UsageError: it is none.
    """
    found = _ID.fullmatch(text.strip("/"))
    try:
        if found is None:
            raise ValueError
        day, store, clock, _ = found.groups()
        moment = datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(
            "This is no id of a backup.",
            expected="yyyy-mm-dd/<vectordb|metadata>-HHMMSSZ-<6 hexadecimal digits>",
            actual=text,
        ) from None
    return Run(moment, text.strip("/"), store)


def parse_day(text: str) -> str:
    """Return a day as yyyy-mm-dd. Raises UsageError for anything else."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError("This is no day.", expected="yyyy-mm-dd", actual=text) from None


def days(bucket: Bucket) -> list[str]:
    """Return the days that the bucket has backups of, the newest first."""
    names = bucket.directories()
    return sorted((n for n in names if re.fullmatch(r"\d{4}-\d\d-\d\d", n)), reverse=True)


def runs_of(bucket: Bucket, day: str, store: str) -> list[Run]:
    """Return the runs of a day for a store, the newest first, whole or not."""
    names = (f"{day}/{name}" for name in bucket.directories(f"{day}/"))
    found = [parse_id(name) for name in names if _ID.fullmatch(name)]
    return sorted((run for run in found if run.store == store), reverse=True)


def complete_runs(bucket: Bucket, store: str) -> Iterator[Run]:
    """Yield the runs that have a manifest, the newest first."""
    for day in days(bucket):
        for run in runs_of(bucket, day, store):
            if bucket.stat(run.key(NAME)) is not None:
                yield run


def seal(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's canonical JSON without its seal."""
    bare = {key: value for key, value in document.items() if key != "seal"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def begin(run: Run, server: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every manifest starts with."""
    return {
        "format": FORMAT,
        "store": run.store,
        "id": run.id,
        "tool": {"name": "ragdrill", "version": __version__},
        "server": dict(server),
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def finish(document: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest with its end and its seal."""
    ended = {**document, "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    return {**ended, "seal": seal(ended)}


def stored(entry: Mapping[str, Any]) -> Stored:
    """Return the object that an entry of a manifest names."""
    return Stored(str(entry["key"]), int(entry["size"]), str(entry["sha256"]))


def read_manifest(bucket: Bucket, run: Run) -> dict[str, Any]:
    """Return the manifest of a run.

    Raises:
        Refused: there is none (the backup was never finished), it was made by something else, was
            changed since, or belongs to another run.
    """
    data = bucket.read(run.key(NAME))
    if data is None:
        raise Refused(
            f"{run.id} is no whole backup: it has no manifest.",
            expected=f"{run.key(NAME)}, which is written last",
            actual="no such object",
            next_step="take another backup; this one was interrupted, or its manifest is lost",
        )
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise Refused(
            f"The manifest of {run.id} can't be read.",
            expected="a JSON object",
            actual=str(error),
            next_step="take another backup",
        ) from error
    if document.get("format") != FORMAT:
        raise Refused(
            f"{run.id} is a foreign backup: it was not made by backup_qdrant.sh or "
            "backup_metadata.sh of this version.",
            expected=FORMAT,
            actual=document.get("format"),
        )
    if document.get("seal") != seal(document):
        raise Refused(
            f"The manifest of {run.id} is not the one that was written.",
            expected=f"content with the seal {document.get('seal')}",
            actual=seal(document),
            next_step="take another backup; somebody changed this manifest, or it is damaged",
        )
    if document.get("id") != run.id or document.get("store") != run.store:
        raise Refused(
            f"The manifest in {run.id} is a foreign one: it belongs to another backup.",
            expected=run.id,
            actual=document.get("id"),
        )
    return document


def objects_of(document: Mapping[str, Any]) -> list[Stored]:
    """Return every object that a backup needs, those in earlier runs included."""
    return [stored(entry) for entry in document["objects"]]


def found_bad(bucket: Bucket, run: Run) -> bool:
    """Whether the last verification of this backup found it to be bad."""
    try:
        record = json.loads(bucket.read(run.key(VERIFICATION)) or b"{}")
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("ok") is False


def is_good(bucket: Bucket, run: Run) -> bool:
    """Whether the backup has a valid manifest, every object of it is there in its size, and no
    verification has found it to be bad since."""
    if found_bad(bucket, run):
        return False
    try:
        document = read_manifest(bucket, run)
    except Refused:
        return False
    for each in objects_of(document):
        found = bucket.stat(each.key)
        if found is None or found[0] != each.size:
            return False
    return True


def ended_at(document: Mapping[str, Any]) -> datetime:
    """Return the moment at which a backup was finished."""
    return datetime.fromisoformat(str(document["ended_at"]))
