"""The scripts against a booted stack: run twice, killed midway, stores that go away meanwhile."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minio
import psycopg
import pytest
from qdrant_client import QdrantClient, models

from fixtures.bucket import Backups, taken
from fixtures.scripts import Ran, Running
from harness.checks.collection import Collection
from harness.checks.digest import Digest, digest
from harness.core.run import CHECKOUT
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.operator import process_environment, script_command, target_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection"),
]

NAME = "rag-chunks-wordllama-256"
POINTS = 400
VECTORS, METADATA, RESTORE = "backup_qdrant.sh", "backup_metadata.sh", "restore_dr.sh"
VERIFY = "verify_backup.sh"


class Place:
    """A stack, its bucket, and its scripts."""

    def __init__(self, stack: EmbeddedStack, scratch: Path) -> None:
        self.stack, self.scratch = stack, scratch
        keys, where = stack.credentials("objectstore"), stack.endpoint("objectstore")
        store = minio.Minio(
            f"{where.host}:{where.port}",
            access_key=keys["access_key"],
            secret_key=keys["secret_key"],
            secure=False,
            region="us-east-1",
        )
        self.backups = Backups(store, keys["bucket"])
        self.vectors = QdrantClient(
            url=stack.endpoint("vectordb").url,
            api_key=stack.credentials("vectordb")["api_key"],
            timeout=60,
            trust_env=False,
        )
        self._environment = process_environment(
            {
                **target_environment(stack),
                "TMPDIR": str(scratch),
                # Nobody writes but these tests, and they know when.
                "STOP_WRITERS_CMD": "true",
                "START_WRITERS_CMD": "true",
                "REINDEX_CMD": "",
            }
        )

    def start(self, name: str, *arguments: str) -> Running:
        return Running(script_command(name, *arguments), self._environment, CHECKOUT)

    def run(self, name: str, *arguments: str) -> Ran:
        return self.start(name, *arguments).finish(300)

    def killed(self, name: str, *arguments: str, at: dict[str, Any], number: int = 9) -> Ran:
        running = self.start(name, *arguments)
        running.wait_for_event("step", 120, **at)
        running.kill(number)
        return running.finish(60)

    def write(self, first: int, count: int) -> None:
        points = [
            models.PointStruct(
                id=number,
                vector=[float(number % 7 + 1), *([0.5] * 255)],
                payload={"tenant_id": f"t{number % 3}", "chunk_id": f"c{number}"},
            )
            for number in range(first, first + count)
        ]
        self.vectors.upsert(NAME, points, wait=True)

    def digest(self) -> Digest:
        endpoint, key = self.stack.endpoint("vectordb"), self.stack.credentials("vectordb")
        with Collection(endpoint.url, NAME, api_key=key["api_key"], timeout_s=60) as reader:
            return digest(reader)

    def rows(self) -> int:
        with psycopg.connect(self.stack.credentials("metadata")["admin_dsn"]) as connection:
            row = connection.execute("SELECT count(*) FROM notes").fetchone()
        assert row is not None
        return int(row[0])

    def describe_the_database(self) -> None:
        with psycopg.connect(self.stack.credentials("metadata")["admin_dsn"]) as connection:
            name = psycopg.sql.Identifier(connection.info.dbname)
            for text in (
                "COMMENT ON DATABASE {} IS 'of the operator''s'",
                'ALTER DATABASE {} SET search_path TO "$user", public',
                "ALTER DATABASE {} SET statement_timeout TO '5min'",
            ):
                connection.execute(psycopg.sql.SQL(text).format(name))

    def about_the_database(self) -> tuple[Any, ...]:
        """Comment, settings and rights: what a dump of the content does not have."""
        query = (
            "SELECT shobj_description(d.oid, 'pg_database'), datacl::text, s.setconfig"
            " FROM pg_database d LEFT JOIN pg_db_role_setting s"
            " ON s.setdatabase = d.oid AND s.setrole = 0 WHERE datname = current_database()"
        )
        with psycopg.connect(self.stack.credentials("metadata")["admin_dsn"]) as connection:
            found = connection.execute(query).fetchone()
        assert found is not None and found[0] and found[2], "described by the fixture"
        return found

    def note(self, text: str) -> None:
        with psycopg.connect(self.stack.credentials("metadata")["admin_dsn"]) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS notes (text text)")
            connection.execute("INSERT INTO notes VALUES (%s)", [text])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    where = tmp_path_factory.mktemp("scripts")
    stack = EmbeddedStack.boot(f"scripts-{secrets.token_hex(4)}", where / "s", where / "logs")
    try:
        (where / "tmp").mkdir()
        made = Place(stack, where / "tmp")
        made.write(0, POINTS)
        made.note("first")
        made.describe_the_database()
        yield made
        made.vectors.close()
    finally:
        stack.down()


def unfinished(place: Place) -> list[str]:
    return [key for key in place.backups.keys() if key.endswith("/started.json")]  # noqa: SIM118


def test_a_terminated_backup_cleans_up_after_itself(place: Place) -> None:
    before = set(place.backups.keys())
    for name, step in ((VECTORS, "collection"), (METADATA, "base_backup")):
        ran = place.killed(name, at={"step": step, "state": "started"}, number=signal.SIGTERM)
        assert ran.exit_code == 143, ran.told
        assert ran.event("finished")["exit_code"] == 143
    left = {key for key in place.backups.keys() if not key.startswith("wal/")}  # noqa: SIM118
    assert left <= before
    assert place.vectors.list_snapshots(NAME) == []


def test_a_killed_base_backup_is_none_and_the_next_one_takes_its_litter_along(
    place: Place,
) -> None:
    before = place.backups.runs("metadata")
    place.killed(METADATA, at={"step": "store", "state": "done"})
    assert place.backups.runs("metadata") == before
    assert unfinished(place)
    run = taken(place.run(METADATA))
    assert place.backups.runs("metadata") == [*before, run]
    assert unfinished(place) == []


def test_a_killed_verification_leaves_a_copy_that_the_next_one_removes(place: Place) -> None:
    run = taken(place.run(VECTORS, "--full"))
    place.killed(VERIFY, "--backup", run, at={"step": "restore", "state": "started"})
    for _ in range(2):
        assert place.run(VERIFY, "--backup", run).exit_code == 0
    names = [each.name for each in place.vectors.get_collections().collections]
    assert not [name for name in names if name.startswith("ragdrill-")]
    assert place.backups.read(f"{run}/verification.json").data.count(b'"ok": true') == 1


def test_a_backup_while_points_are_written_restores_to_what_its_manifest_says(
    place: Place,
) -> None:
    stop = threading.Event()

    def write_on() -> None:
        number = 10_000
        while not stop.is_set():
            place.write(number, 5)
            number += 5

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        run = taken(place.run(VECTORS, "--full"))
    finally:
        stop.set()
        writer.join(30)
    entry = next(e for e in place.backups.manifest(run)["collections"] if e["name"] == NAME)
    assert entry["observed"] == "copy", "the writer was too slow to show anything"
    assert POINTS <= entry["count"] <= place.digest().count
    assert place.run(VERIFY, "--backup", run, "--no-record").exit_code == 0


@pytest.mark.parametrize("role", ["objectstore", "vectordb"])
def test_a_store_that_goes_away_midway_fails_the_backup_and_the_next_one_succeeds(
    place: Place, role: str
) -> None:
    before = place.backups.runs("vectordb")
    running = place.start(VECTORS, "--full")
    running.wait_for_event("step", 120, step="collection", state="started")
    place.stack.kill(role)
    ran = running.finish(300)
    place.stack.start(role)
    assert ran.exit_code == 2, ran.told
    assert "Traceback" not in ran.stderr
    assert place.backups.runs("vectordb") == before
    taken(place.run(VECTORS))
    assert unfinished(place) == []


MOMENTS: list[dict[str, Any]] = [
    {"step": "vectordb_restore", "state": "started"},
    {"step": "metadata_verify", "state": "started"},
    {"step": "switch", "state": "started"},
]


def test_a_restore_killed_at_any_moment_is_finished_by_the_next_and_may_be_run_twice(
    place: Place,
) -> None:
    saved, rows, about = place.digest(), place.rows(), place.about_the_database()
    vectors, metadata = taken(place.run(VECTORS)), taken(place.run(METADATA))
    order = ("--date", vectors[:10], "--backup", vectors, "--backup", metadata)
    for number, moment in enumerate(MOMENTS):
        place.write(20_000 + number, 1)
        spoiled = place.digest()
        assert spoiled != saved
        place.killed(RESTORE, *order, at=moment)
        if moment["step"] != "switch":
            assert place.digest() == spoiled, f"what serves changed before {moment}"
            assert place.rows() == rows
    for _ in range(2):
        ran = place.run(RESTORE, *order)
        # The points of these tests are in one store alone, which the script rightly says.
        assert ran.exit_code in (0, 5), ran.told
        assert place.digest() == saved
        assert place.rows() == rows
        assert place.about_the_database() == about
    names = [each.name for each in place.vectors.get_collections().collections]
    assert not [name for name in names if name.startswith("ragdrill-")]


def test_a_refused_restore_to_a_moment_beyond_the_log_leaves_the_database(place: Place) -> None:
    vectors, metadata = taken(place.run(VECTORS)), taken(place.run(METADATA))
    place.note("after the backup")
    rows = place.rows()
    order = ("--date", vectors[:10], "--store", "metadata", "--backup", metadata)
    ran = place.run(RESTORE, *order, "--to-time", "2199-01-01T00:00:00Z")
    assert ran.exit_code == 1, ran.told
    assert "target" in ran.stderr
    assert place.rows() == rows
    with contextlib.closing(
        psycopg.connect(place.stack.credentials("metadata")["admin_dsn"], dbname="postgres")
    ) as connection:
        found = connection.execute("SELECT datname FROM pg_database").fetchall()
    assert not [name for (name,) in found if name.endswith("_restoring")]


def test_a_killed_restore_leaves_no_server_and_its_scratch_goes_with_the_next_run(
    place: Place,
) -> None:
    vectors, metadata = taken(place.run(VECTORS)), taken(place.run(METADATA))
    order = ("--date", vectors[:10], "--store", "metadata", "--backup", metadata)
    running = place.start(RESTORE, *order)
    running.wait_for_event("step", 120, step="metadata_verify", state="started")
    os.kill(running.pid, signal.SIGKILL)
    running.finish(60)
    deadline = time.monotonic() + 20
    while servers(place) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers(place) == []
    assert list(place.scratch.glob("ragdrill-script-*"))
    assert place.run(RESTORE, *order).exit_code in (0, 5)
    assert not list(place.scratch.glob("ragdrill-script-*"))
    assert not list(place.scratch.glob("rd-pg-*"))


def servers(place: Place) -> list[str]:
    """The processes that work below the scripts' scratch directory."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if "postgres" in command and str(place.scratch) in command:
                    found.append(command)
    return found


def test_points_that_are_announced_for_removal_are_no_disagreement(place: Place) -> None:
    """Comes last: it leaves one point alone in the vector store."""
    everything = models.FilterSelector(filter=models.Filter(must=[]))
    place.vectors.delete(NAME, everything, wait=True)
    leaving = str(uuid.uuid4())
    payload = {"tenant_id": "t", "persona": "p", "document_id": "d", "chunk_id": "d#1.0000"}
    point = models.PointStruct(id=leaving, vector=[1.0] * 256, payload=payload)
    place.vectors.upsert(NAME, [point], wait=True)
    ran = []
    for announced in (False, True):
        with psycopg.connect(place.stack.credentials("metadata")["admin_dsn"]) as connection:
            if announced:
                connection.execute(
                    "INSERT INTO rag.vector_cleanup (cleanup_id, tenant_id, document_id, persona,"
                    " reason, point_ids, not_before) VALUES (gen_random_uuid(), 't', 'd', 'p',"
                    " 'write', %s::uuid[], now() + interval '10 minutes')",
                    ([leaving],),
                )
        vectors, metadata = taken(place.run(VECTORS)), taken(place.run(METADATA))
        order = ("--date", vectors[:10], "--backup", vectors, "--backup", metadata)
        ran.append(place.run(RESTORE, *order))
    assert [each.exit_code for each in ran] == [5, 0], [each.told for each in ran]
