"""A base backup taken while rows come and go recovers to exactly the rows that it is told to."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from harness.drivers.embedded.places import postgres_bin
from harness.drivers.embedded.postgres import ADMIN, template
from scripts.dayops import moment, postgres, tables
from scripts.dayops.backup_metadata import LOG, Backup
from scripts.dayops.bucket import Bucket
from scripts.dayops.environment import Environment
from scripts.dayops.manifest import new_run
from scripts.dayops.recovery import Base
from scripts.dayops.script import Log, Refused, Task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WAIT_S = 60.0
TABLES = "CREATE TABLE {0} (n bigserial PRIMARY KEY, text text DEFAULT md5(random()::text))"


class Server:
    """A database with writers, and what the backup script does with it, without a bucket."""

    def __init__(self, scratch: postgres.Scratch, programs: postgres.Programs, place: Path) -> None:
        own = conninfo_to_dict(scratch.dsn("postgres"))
        # An address as the scripts want it; libpq goes by the socket that follows it.
        self.dsn = (
            f"postgresql://{own['user']}@localhost/postgres?"
            f"{urlencode({'host': own['host'], 'port': own['port']})}"
        )
        self.programs, self.place = programs, place
        values = {
            "DATABASE_URL": self.dsn,
            "S3_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "POSTGRES_BIN": str(programs.directory),
        }
        self.environment = Environment(values)
        self.log = Log("test", self.environment)
        self._taken = 0

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as link:
            for each in statements:
                link.execute(each.encode())

    @contextlib.contextmanager
    def written_to(self, *loops: Callable[[psycopg.Connection[Any]], None]) -> Iterator[list[int]]:
        """Have loops run all the time; yields how often each has run."""
        over, turns = threading.Event(), [0] * len(loops)

        def work(at: int) -> None:
            with psycopg.connect(self.dsn, autocommit=True) as link:
                while not over.is_set():
                    loops[at](link)
                    turns[at] += 1

        threads = [threading.Thread(target=work, args=(at,)) for at in range(len(loops))]
        for each in threads:
            each.start()
        try:
            yield turns
        finally:
            over.set()
            for each in threads:
                each.join(WAIT_S)
            assert not any(each.is_alive() for each in threads)

    def back_up(self) -> tuple[Path, moment.Moment]:
        """Take a base backup with its moment; returns where its three files lie."""
        self._taken += 1
        work = self.place / f"taken-{self._taken}"
        work.mkdir()
        task = Task(argparse.Namespace(), self.environment, self.log, work, {})
        backup = Backup(task, new_run("metadata"))
        with moment.log_kept(self.dsn):
            backup._base_backup(work / "base")
            seen = moment.observe(self.dsn, self.log)
            backup._complete_log(work / "base", seen.needs)
        return work, seen

    def recovered(self, work: Path, seen: moment.Moment, **changes: Any) -> dict[str, Any]:
        """Recover the base backup alone and compare it. Raises Refused."""
        document = {
            "moment": {"lsn": seen.lsn},
            "tables": seen.tables,
            "moving": seen.moving,
            "made_meanwhile": seen.made_meanwhile,
            "database": "postgres",
            **changes,
        }
        base = Base(Bucket(self.environment), new_run("metadata"), document, work, self.log)
        place = work / "scratch"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        with base.recovered(self.programs, ADMIN, place, with_log=False) as server:
            return base.compare(server)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    programs = postgres.Programs(postgres_bin("postgres").parent)
    place = tmp_path_factory.mktemp("moment")
    data, hba = place / "live" / "data", place / "hba"
    shutil.copytree(template(), data)
    hba.write_text("local all all trust\nlocal replication all trust\n")
    with postgres.Scratch(programs, data, ADMIN, [f"hba_file = '{hba}'"]) as scratch:
        scratch.wait("SELECT true", timeout_s=WAIT_S)
        made = Server(scratch, programs, place)
        for name in ("notes", "queue", "plain"):
            made.run(TABLES.format(name), f"INSERT INTO {name} SELECT FROM generate_series(1, 200)")
        yield made


def grows(link: psycopg.Connection[Any]) -> None:
    link.execute("INSERT INTO notes DEFAULT VALUES")
    link.execute("DELETE FROM notes WHERE n = (SELECT min(n) FROM notes)")


def comes_and_goes(link: psycopg.Connection[Any]) -> None:
    """What is gone again before anybody counts, as the gateway's list of points to remove."""
    (number,) = link.execute("INSERT INTO queue DEFAULT VALUES RETURNING n").fetchone() or (0,)
    link.execute("DELETE FROM queue WHERE n = %s", [number])


def writes_two_tables(link: psycopg.Connection[Any]) -> None:
    with link.transaction():
        link.execute("UPDATE plain SET text = md5(random()::text) WHERE n = 7")
        link.execute("INSERT INTO notes DEFAULT VALUES")


def replaces_a_table(link: psycopg.Connection[Any]) -> None:
    for statement in ("DROP TABLE IF EXISTS fleeting", TABLES.format("fleeting")):
        link.execute(statement.encode())
    link.execute("INSERT INTO fleeting DEFAULT VALUES")
    with link.transaction():
        link.execute("TRUNCATE queue")
        link.execute("INSERT INTO queue SELECT FROM generate_series(1, 150)")


def test_backups_under_writes_and_deletions_recover_to_what_was_counted(server: Server) -> None:
    loops = (grows, grows, comes_and_goes, comes_and_goes, writes_two_tables, replaces_a_table)
    taken = []
    with server.written_to(*loops) as turns:
        for _ in range(2):
            before = list(turns)
            taken.append(server.back_up())
            assert all(now > then for now, then in zip(turns, before, strict=True))
    for work, seen in taken:
        assert seen.moving == []
        assert {"public.notes", "public.queue", "public.plain"} <= set(seen.tables)
        assert server.recovered(work, seen)["not_compared"] == []
    counts = {tuple(each["sum"] for each in seen.tables.values()) for _, seen in taken}
    assert len(counts) == 2, "nothing changed, so nothing was shown"


def test_a_row_that_is_not_what_was_counted_is_found_out(server: Server) -> None:
    work, seen = server.back_up()
    rows = seen.tables["public.plain"]
    for other in ({"rows": rows["rows"] + 1}, {"sum": "1"}):
        told = {**seen.tables, "public.plain": {**rows, **other}}
        with pytest.raises(Refused, match=r"public\.plain has"):
            server.recovered(work, seen, tables=told)


def test_a_log_that_ends_before_the_moment_is_found_out(server: Server) -> None:
    """The last rows before the moment are in the log alone: without it they are lost."""
    work, seen = server.back_up()
    server.run("INSERT INTO notes DEFAULT VALUES", "SELECT pg_switch_wal()")
    later = moment.observe(server.dsn, server.log)
    assert later.tables["public.notes"] != seen.tables["public.notes"]
    with pytest.raises(Refused, match="can't be recovered"):
        server.recovered(work, later)
    assert (work / "base" / LOG).exists()


def test_a_transaction_that_does_not_end_costs_the_comparison_of_its_table_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moment, "_LONG_S", 0.5)
    with psycopg.connect(server.dsn) as idle:
        idle.execute("INSERT INTO plain DEFAULT VALUES")
        began = time.monotonic()
        seen = moment.observe(server.dsn, server.log, patience_s=1.0)
        assert time.monotonic() - began < WAIT_S
        idle.rollback()
    assert seen.moving == ["public.plain"]
    assert "public.plain" not in seen.tables and "public.notes" in seen.tables


def test_writers_go_on_once_the_moment_is_noted(server: Server) -> None:
    with server.written_to(grows, writes_two_tables) as turns:
        moment.observe(server.dsn, server.log)
        then = list(turns)
        deadline = time.monotonic() + WAIT_S
        while any(now < at + 3 for now, at in zip(turns, then, strict=True)):
            assert time.monotonic() < deadline, "writers stand still"
            time.sleep(0.01)


def test_the_tables_of_a_moment_are_all_or_it_is_said(server: Server) -> None:
    server.run("CREATE UNLOGGED TABLE IF NOT EXISTS forgetful (n int)")
    seen = moment.observe(server.dsn, server.log)
    with psycopg.connect(server.dsn) as link:
        assert sorted(seen.tables) == sorted(".".join(name) for name in tables.names(link))
    assert "public.forgetful" not in seen.tables, "no recovery brings an unlogged table back"


def test_a_table_that_is_dropped_as_it_is_looked_at_is_not_taken_for_somebody_elses(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "names", lambda _link: [("public", "plain"), ("public", "gone")])
    with psycopg.connect(server.dsn) as link:
        assert moment._not_ours(link, server.log) == set()


def test_a_table_that_could_not_be_held_and_is_made_again_meanwhile_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, real, asked = ("public", "plain"), tables.names, 0

    def names(link: psycopg.Connection[Any]) -> list[tuple[str, str]]:
        """It is there again at the third look, which is the last."""
        nonlocal asked
        asked += 1
        return [name for name in real(link) if name != plain or asked == 3]

    monkeypatch.setattr(tables, "names", names)
    with psycopg.connect(server.dsn) as holder, psycopg.connect(server.dsn) as reader:
        seen = moment._try(holder, reader, {plain})
    assert seen is not None
    assert asked == 3
    assert (seen.moving, seen.made_meanwhile) == ([], ["public.plain"])
