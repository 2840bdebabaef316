"""``backup_metadata.sh``: a base backup of PostgreSQL into the bucket, checked before it counts."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tarfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from harness.core import archives
from harness.core.errors import TargetError
from scripts.dayops import manifest, moment, postgres, prune, taking, wal
from scripts.dayops.bucket import Bucket, sha256_of
from scripts.dayops.manifest import NAME, STARTED, Run
from scripts.dayops.script import Refused, Task, alone, main, parser

SCRIPT = "backup_metadata.sh"
STORE = "metadata"
NEEDS = (
    *("DATABASE_URL", "S3_ENDPOINT_URL", "BACKUP_BUCKET", "AWS_ACCESS_KEY_ID"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_REGION", "POSTGRES_BIN"),
)
BASE, LOG, LABEL = "base.tar.gz", "pg_wal.tar.gz", "backup_manifest"
FILES = (BASE, LOG, LABEL)
"""What pg_basebackup makes of a cluster without tablespaces of its own."""
RECEIVE_S = 300.0


class Facts:
    """What a backup records of the cluster."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        def ask(query: str) -> tuple[Any, ...]:
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            return tuple(row)

        number = int(ask("SHOW server_version_num")[0])
        self.version = str(ask("SHOW server_version")[0])
        self.major = number // 10_000
        self.system = str(ask("SELECT system_identifier FROM pg_control_system()")[0])
        self.cluster = str(ask("SHOW cluster_name")[0])
        self.segment_bytes = int(
            ask("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")[0]
        )
        self.database = str(ask("SELECT current_database()")[0])
        self.wal = wal.directory(self.system, self.cluster)

    @staticmethod
    def archiver(connection: psycopg.Connection[Any]) -> dict[str, Any]:
        """Return whether the log is archived, and when that last worked and failed."""
        row = connection.execute(
            "SELECT current_setting('archive_mode'), archived_count, last_archived_wal,"
            " last_archived_time, failed_count, last_failed_wal, last_failed_time"
            " FROM pg_stat_archiver"
        ).fetchone()
        assert row is not None
        names = (
            *("mode", "archived_count", "last_archived_wal", "last_archived_time"),
            *("failed_count", "last_failed_wal", "last_failed_time"),
        )
        return {
            name: value if value is None or isinstance(value, str | int) else value.isoformat()
            for name, value in zip(names, row, strict=True)
        }


def failing(archiver: dict[str, Any]) -> str:
    """Return what is wrong with the archiving of the log, or an empty string."""
    if archiver["mode"] == "off":
        return "archive_mode is off: nothing between two base backups can be recovered"
    failed, worked = archiver["last_failed_time"], archiver["last_archived_time"]
    if failed is not None and (worked is None or failed > worked):
        return f"{archiver['last_failed_wal']} could not be archived at {failed}, and none since"
    return ""


def start_segment(label: str) -> str:
    """Return the segment that a recovery begins with, as ``backup_label`` names it."""
    found = re.search(r"^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)", label, re.MULTILINE)
    if found is None:
        raise TargetError("The base backup has no start.", actual=label[:200])
    return found[1]


def unpack(directory: Path, data: Path) -> None:
    """Make a data directory of the three files. Raises Refused where they are no base backup."""
    data.mkdir(mode=0o700)
    try:
        for name, into in ((BASE, data), (LOG, data / "pg_wal")):
            into.mkdir(mode=0o700, exist_ok=True)
            with tarfile.open(directory / name) as archive:
                archives.unpack(archive, into)
        (data / LABEL).write_bytes((directory / LABEL).read_bytes())
        # Its own links to other disks would lead nowhere, and a foreign one anywhere.
        if any((data / "pg_tblspc").iterdir()):
            raise Refused("The cluster has tablespaces of its own, which this does not restore.")
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Refused(
            "The base backup can't be unpacked.", actual=f"{type(error).__name__}: {error}"
        ) from error


def verify_files(programs: postgres.Programs, data: Path) -> None:
    """Compare every file with the backup's own manifest. Raises Refused."""
    done = programs.run("pg_verifybackup", "--exit-on-error", str(data), check=False)
    if done.returncode:
        raise Refused(
            "pg_verifybackup found the base backup to be damaged.",
            expected="backup successfully verified",
            actual=done.stderr.strip()[-600:],
            next_step="take another backup",
        )


class Backup:
    """One run."""

    def __init__(self, task: Task, run: Run) -> None:
        self.run, self.log, self.work = run, task.log, task.work
        self.dsn = task.environment["DATABASE_URL"]
        self.bucket = Bucket(task.environment)
        with postgres.connect(self.dsn) as connection:
            self.facts = Facts(connection)
        self.programs = postgres.find_programs(task.environment, self.facts.major)

    def take(self) -> dict[str, Any]:
        """Take the backup; returns what the last log line tells. Raises HarnessError."""
        facts = self.facts
        document = manifest.begin(
            self.run,
            {"software": "PostgreSQL", "version": facts.version, "major": facts.major},
        )
        document["client"] = {
            "pg_basebackup": self.programs.run("pg_basebackup", "--version").stdout.strip(),
            "minio": version("minio"),
        }
        note = {"host": socket.gethostname(), "pid": os.getpid()}
        self.bucket.put_json(self.run.key(STARTED), note, self.work)
        files = self.work / "files"
        with moment.log_kept(self.dsn):
            with self.log.step("base_backup"):
                self._base_backup(files)
            with self.log.step("tables") as found:
                seen = moment.observe(self.dsn, self.log)
                found.update(lsn=seen.lsn, held_s=round(seen.held_s, 3), moving=seen.moving)
            with self.log.step("log"):
                self._complete_log(files, seen.needs)
        with self.log.step("pg_verifybackup"):
            data = self.work / "data"
            unpack(files, data)
            verify_files(self.programs, data)
            start = start_segment((data / "backup_label").read_text())
        objects = []
        for name in FILES:
            with self.log.step("store", object=name) as found:
                path = files / name
                stored = self.bucket.put(self.run.key(name), path, sha256_of(path))
                objects.append({**stored.as_json(), "reused": False})
                found["bytes"] = stored.size
        archiver = self._archiver()
        with self.log.step("manifest"):
            ranges = json.loads((files / LABEL).read_bytes())["WAL-Ranges"][-1]
            document.update(
                system_identifier=facts.system,
                cluster_name=facts.cluster,
                database=facts.database,
                wal=facts.wal,
                segment_bytes=facts.segment_bytes,
                start_wal=start,
                end_lsn=ranges["End-LSN"],
                timeline=ranges["Timeline"],
                archiver=archiver,
                objects=objects,
                moment={"lsn": seen.lsn},
                tables=seen.tables,
                moving=seen.moving,
                made_meanwhile=seen.made_meanwhile,
            )
            self.bucket.put_json(self.run.key(NAME), manifest.finish(document), self.work)
            self.bucket.remove([self.run.key(STARTED)])
        return {
            "backup": self.run.id,
            "bytes": sum(each["size"] for each in objects),
            "rows": sum(each["rows"] for each in seen.tables.values()),
            "archiver": archiver,
        }

    def _base_backup(self, files: Path) -> None:
        # The newest version of the programs writes several archives for several tablespaces;
        # unpack() refuses those.
        variables = postgres.connection_variables(self.dsn)
        variables.pop("PGDATABASE", None)
        self.programs.run(
            "pg_basebackup",
            *("-D", str(files), "--format=tar", "--compress=client-gzip:1"),
            *("--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256"),
            *("--no-password", f"--label=ragdrill {self.run.id}"),
            env=variables,
        )
        made = sorted(path.name for path in files.iterdir())
        if made != sorted(FILES):
            raise TargetError(
                "pg_basebackup made other files than one cluster without tablespaces gives.",
                expected=", ".join(sorted(FILES)),
                actual=", ".join(made),
            )

    def _complete_log(self, files: Path, needs: str) -> None:
        """Add to the backup what the log says from its end to the moment of its tables."""
        place = self.work / "log"
        place.mkdir(mode=0o700)
        with tarfile.open(files / LOG) as archive:
            archives.unpack(archive, place)
        # The last one was streamed to the end of the backup alone, and is zeros from there on.
        last = max(path for path in place.iterdir() if wal.is_segment(path.name))
        last.unlink()
        # The program goes on after the last segment that it finds, by its name and size.
        before = place / wal.preceding(last.name, self.facts.segment_bytes)
        stand_in = not before.exists()
        if stand_in:
            with before.open("wb") as file:
                file.truncate(self.facts.segment_bytes)
        variables = postgres.connection_variables(self.dsn)
        variables.pop("PGDATABASE", None)
        self.programs.run(
            "pg_receivewal",
            *("-D", str(place), f"--endpos={needs}", "--no-loop", "--no-password"),
            env=variables,
            timeout_s=RECEIVE_S,
        )
        if stand_in:
            before.unlink()
        for path in place.glob("*.partial"):
            path.rename(path.with_suffix(""))
        with tarfile.open(files / LOG, "w:gz", compresslevel=1) as archive:
            for path in sorted(place.iterdir()):
                archive.add(path, arcname=path.name)
        shutil.rmtree(place)

    def _archiver(self) -> dict[str, Any]:
        with postgres.connect(self.dsn) as connection:
            state = Facts.archiver(connection)
        problem = failing(state)
        if problem:
            self.log.warn("archive_failing", problem, **state)
        return state


def work(task: Task) -> None:
    """Take the backup, prune."""
    prune.policy_of(task.arguments)
    with alone(task.environment, STORE):
        if not task.arguments.prune_only:
            taking.take(task, Backup(task, manifest.new_run(STORE)))
        bucket = Bucket(task.environment)
        taking.clear_out(
            task, bucket, STORE, lambda: {"segments": prune.prune_wal(bucket, task.log)}
        )


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(
        SCRIPT,
        "Takes a base backup of PostgreSQL into <bucket>/yyyy-mm-dd/, verifies it with "
        "pg_verifybackup, and writes its manifest last. Archiving of the log goes on beside it.",
        NEEDS,
    )
    prune.add_options(arguments)
    return main(SCRIPT, arguments, NEEDS[:-1], work, argv)
