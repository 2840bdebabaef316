"""Recovery of the metadata store: a base backup and the log, on a scratch server, to a moment."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.core.errors import TargetError
from scripts.dayops import backup_metadata, manifest, postgres, tables, wal
from scripts.dayops.bucket import Bucket, sha256_of
from scripts.dayops.manifest import Run
from scripts.dayops.script import Log, Refused

ARCHIVED_S = 30.0


class Base:
    """A base backup and the archive that carries on from it, brought to this machine."""

    def __init__(
        self, bucket: Bucket, run: Run, document: Mapping[str, Any], place: Path, log: Log
    ) -> None:
        self.bucket, self.run, self.document, self.log = bucket, run, document, log
        self.files, self.archive = place / "base", place / "wal"
        self.reached: str = ""

    @property
    def where(self) -> str:
        """Where the cluster's archive lies in the bucket."""
        return str(self.document["wal"])

    @property
    def database(self) -> str:
        return str(self.document["database"])

    @property
    def moment(self) -> str:
        """The position in the log that the manifest's tables are of; empty in an old manifest."""
        return str(self.document.get("moment", {}).get("lsn", ""))

    @property
    def major(self) -> int:
        return int(self.document["server"]["major"])

    def fetch(self) -> int:
        """Bring the base backup here; returns its bytes. Raises Refused (see Bucket.fetch)."""
        return fetch_all(self.bucket, self.document, self.files, self.log)

    def fetch_log(self, until: datetime | None) -> dict[str, Any]:
        """Bring the log here; returns how far it reaches. Raises Refused for a gap.

        With ``until`` a gap is no reason yet: whether the log before it reaches that moment, the
        recovery will say.
        """
        names = wal.names_in(self.bucket, self.where)
        found = wal.look(
            names, str(self.document["start_wal"]), int(self.document["segment_bytes"])
        )
        if until is None:
            wal.refuse_gap(found, self.where)
        size = wal.fetch(
            self.bucket, self.where, (*found.names, *found.others), self.archive, self.log
        )
        return {
            "segments": len(found.names),
            "bytes": size,
            "last": found.names[-1] if found.names else "",
            "gap": found.gap,
        }

    @contextlib.contextmanager
    def recovered(
        self,
        programs: postgres.Programs,
        user: str,
        place: Path,
        *,
        with_log: bool,
        until: datetime | None = None,
    ) -> Iterator[postgres.Scratch]:
        """A scratch server with the base backup, alone or with the log replayed to ``until``.

        Alone it stops at the moment whose tables the manifest tells.

        Raises:
            Refused: the backup is damaged, or the log does not reach that moment.
        """
        data = place / "data"
        backup_metadata.unpack(self.files, data)
        backup_metadata.verify_files(programs, data)
        settings = []
        if with_log:
            source = shlex.quote(str(self.archive)).replace("%", "%%")
            command = f"cp {source}/%f %p"
            settings = [f"restore_command = {_quoted(command)}", "recovery_target_timeline=latest"]
            if until is not None:
                settings.append(f"recovery_target_time = {_quoted(until.isoformat())}")
                settings.append("recovery_target_action = promote")
            (data / "recovery.signal").touch()
        elif self.moment:
            settings = [
                "restore_command = 'false'",
                f"recovery_target_lsn = {_quoted(self.moment)}",
                "recovery_target_inclusive = off",
                "recovery_target_action = promote",
            ]
            (data / "recovery.signal").touch()
        with postgres.Scratch(programs, data, user, settings) as server:
            server.wait("SELECT NOT pg_is_in_recovery()")
            with postgres.connect(server.dsn(self.database)) as connection:
                row = connection.execute("SELECT pg_last_xact_replay_timestamp()").fetchone()
                self.reached = "" if row is None or row[0] is None else row[0].isoformat()
            yield server

    def compare(self, server: postgres.Scratch) -> dict[str, Any]:
        """Compare the base backup alone with its manifest. Raises Refused where they differ."""
        with postgres.connect(server.dsn(self.database)) as connection:
            found = tables.content(connection)
        wanted: tables.Tables = dict(self.document["tables"])
        moving = set(self.document["moving"])
        aside = {*moving, *self.document.get("made_meanwhile", [])}
        still = {name: value for name, value in found.items() if name not in aside}
        problems = tables.differences(wanted, still)
        problems += [f"{name} is missing" for name in sorted(moving - set(found))]
        if problems:
            raise Refused(
                "The base backup restores to something else.",
                expected="the tables that the manifest tells",
                actual="; ".join(problems[:5]),
                next_step="take another backup",
            )
        for name in sorted(moving):
            self.log.warn("not_compared", f"the rows of {name} can't be compared", table=name)
        return {
            "tables": len(found),
            "rows": sum(each["rows"] for each in found.values()),
            "not_compared": sorted(moving),
        }


def fetch_all(bucket: Bucket, document: Mapping[str, Any], into: Path, log: Log) -> int:
    """Bring every object of a backup here, verified; what came earlier and is whole stays.

    Returns the bytes. Raises Refused for one that is missing or damaged.
    """
    into.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, each in enumerate(manifest.objects_of(document)):
        path = into / object_name(number, each.key)
        there = path.exists() and path.stat().st_size == each.size
        if not (there and sha256_of(path) == each.sha256):
            bucket.fetch(each, path)
        total += each.size
        log.progress(f"{each.key} read")
    return total


def object_name(number: int, key: str) -> str:
    """Return the local name of the object at this position of a manifest."""
    name = key.rsplit("/", 1)[-1]
    return name if name in backup_metadata.FILES else f"{number}.snapshot"


def flush(dsn: str, where: str, log: Log) -> str:
    """Have the live server archive what it has written so far, if it is the backed-up cluster.

    Returns the last segment, or an empty string where there is no such server. That which a
    server can't archive any more is lost to this recovery: it is said, and the recovery goes on.
    """
    try:
        connection = postgres.connect(dsn)
    except TargetError:
        return ""
    with connection:
        facts = backup_metadata.Facts(connection)
        if facts.wal != where:
            return ""
        # A commit of no consequence: a recovery to a moment needs one after it.
        connection.execute("SELECT pg_logical_emit_message(true, 'ragdrill', 'restore')")
        row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert row is not None
        segment = str(row[0])
        deadline = time.monotonic() + ARCHIVED_S
        while time.monotonic() < deadline:
            last = backup_metadata.Facts.archiver(connection)["last_archived_wal"]
            if last is not None and last[:24] >= segment:
                return segment
            time.sleep(0.1)
    log.warn(
        "archive_behind",
        f"{segment} is not archived after {ARCHIVED_S:.0f} s: what it holds will be missing",
        segment=segment,
    )
    return segment


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
