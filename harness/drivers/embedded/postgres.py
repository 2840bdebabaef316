"""PostgreSQL for one run: data directory from a cached template, passwords, command."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import TargetError
from harness.drivers.embedded import procfs
from harness.drivers.embedded.environment import service_environment
from harness.drivers.embedded.places import cache_dir, postgres_bin
from harness.drivers.embedded.ports import HOST

ADMIN = "rag_admin"
DATABASE = "rag"
# PostgreSQL refuses to run as root, so root appears to it as this user (nobody on every Linux).
_NOBODY = 65534
STOP_SIGNAL = signal.SIGINT

_INITDB = (
    "--encoding=UTF8",
    "--locale=C",
    "--auth-local=reject",
    "--auth-host=scram-sha-256",
    "--data-checksums",
    # Small segments: the archive moves often, and the template stays small.
    "--wal-segsize=4",
)
_SETTINGS = {
    "listen_addresses": HOST,
    # TCP only: a socket path in a long temporary directory would not fit into 107 bytes.
    "unix_socket_directories": "",
    # In files of the data directory: what lies in /dev/shm outlives a kill.
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "48MB",
    "max_connections": "120",
    "wal_level": "replica",
    "archive_mode": "on",
    "archive_timeout": "60s",
    "log_line_prefix": "%m [%p] %u@%d ",
    # What people wrote must not reach the log: neither statements nor the values in a DETAIL line.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_TEMPLATE_SQL = (f"CREATE DATABASE {DATABASE}",)
_STEP_S = 120.0
_AS_USER = """
import runpy, sys, os
runpy.run_path(sys.argv[1])["enter_user_namespace"](int(sys.argv[2]))
os.execv(sys.argv[3], sys.argv[3:])
"""


@dataclass(frozen=True)
class Cluster:
    """One run's data directory and the archive beside it."""

    directory: Path
    port: int

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def archive(self) -> Path:
        """Where finished write-ahead log segments are copied, before they go into the bucket."""
        return self.directory / "archive"

    def command(self) -> list[str]:
        return [str(postgres_bin("postgres")), "-D", str(self.data)]

    def prepare(self) -> None:
        """Copy the template and write the settings; raises TargetError or OSError (no room)."""
        source = template()
        self.archive.mkdir(mode=0o700, exist_ok=True)
        _copy_tree(source, self.data)
        (self.data / "pg_hba.conf").write_text(
            f"host all all {HOST}/32 scram-sha-256\nhost replication all {HOST}/32 scram-sha-256\n"
        )
        # All clusters are copies of one template and share its system identifier, so that their
        # archives need a name that is a cluster's own.
        name = f"rag-{secrets.token_hex(4)}"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"\nport = {self.port}\n")
            file.write(f"cluster_name = {_quoted(name)}\n")
            file.write(f"archive_command = {_quoted(self.archive_command(name))}\n")

    def single_user(self) -> list[str]:
        """Runs the statements on its standard input with no server and no network."""
        return _single_user(self.data)

    def archive_command(self, name: str) -> str:
        """Copy a segment to the local archive, once, and from there into the bucket."""
        # PostgreSQL runs it through sh with the data directory as working directory, and again
        # from the start for a segment that the bucket did not take.
        copy = "cp %p ../archive/.%f && mv ../archive/.%f ../archive/%f"
        python = shlex.quote(sys.executable).replace("%", "%%")
        upload = f"{python} -m scripts.dayops wal_archive --cluster {name} ../archive/%f"
        return f"{{ test -f ../archive/%f || {{ {copy}; }}; }} && {upload}"

    def dsn(self, role: str, password: str, host: str = HOST, port: int | None = None) -> str:
        return f"postgresql://{role}:{password}@{host}:{port or self.port}/{DATABASE}"


def _copy_tree(source: Path, target: Path) -> None:
    """Unlike shutil's, this stops at the first error and so can be told what it was."""
    for directory, _, names in os.walk(source):
        into = target / Path(directory).relative_to(source)
        into.mkdir(mode=0o700)
        for name in names:
            shutil.copyfile(Path(directory) / name, into / name)


def map_user() -> int | None:
    """The uid under which PostgreSQL must appear to run; None where the caller may run it as is."""
    return _NOBODY if os.geteuid() == 0 else None


def check_can_run() -> None:
    """Raise TargetError, with the way out, where PostgreSQL cannot run as this user."""
    if os.geteuid() == 0 and not procfs.user_namespaces_work(_NOBODY):
        raise TargetError(
            "PostgreSQL does not run as root, and user namespaces are not allowed here.",
            expected="an ordinary user, or permission to make user namespaces",
            actual="uid 0, and unshare(CLONE_NEWUSER) is refused",
            next_step="run as an ordinary user (in Docker: --user 1000, or "
            "--security-opt seccomp=unconfined)",
        )
    uid = map_user() or os.geteuid()
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise TargetError(
            "PostgreSQL's initdb needs a name for the user it runs as.",
            expected=f"an entry for uid {uid} in /etc/passwd",
            actual="none",
            next_step=f"add one, as in: echo 'ragdrill:x:{uid}:{uid}::/:/bin/sh' >> /etc/passwd",
        ) from None


def template() -> Path:
    """The cached, freshly initialised data directory; made on the first call of this machine."""
    key = hashlib.sha256(
        json.dumps([_version(), _INITDB, _SETTINGS, _TEMPLATE_SQL]).encode()
    ).hexdigest()[:16]
    root = cache_dir() / "postgres"
    target = root / f"template-{os.geteuid()}-{key}"
    if target.is_dir():
        return target
    check_can_run()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in root.glob(".making-*"):
                shutil.rmtree(left, ignore_errors=True)
            if not target.is_dir():
                _make_template(root, target)
    except OSError as error:
        raise TargetError(
            "The PostgreSQL template could not be made.",
            expected=f"about 40 MB of room and permission to write in {root}",
            actual=str(error),
            next_step="make room, or set RAGDRILL_CACHE to another directory",
        ) from error
    return target


def _make_template(root: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as scratch:
        made = Path(scratch) / "data"
        _run(
            [str(postgres_bin("initdb")), "-D", str(made), "-U", ADMIN, *_INITDB, "--no-sync"],
            Path(scratch),
        )
        with (made / "postgresql.conf").open("a") as file:
            for name, value in _SETTINGS.items():
                file.write(f"{name} = {_quoted(value)}\n")
        _run(_single_user(made), Path(scratch), _script(_TEMPLATE_SQL))
        made.rename(target)


def _version() -> str:
    done = subprocess.run(
        [postgres_bin("postgres"), "--version"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def password_script(password: str) -> str:
    """Input for ``single_user`` that sets the password of the one role of the template."""
    return _script([f"ALTER ROLE {ADMIN} PASSWORD {_quoted(password)}"])


def _script(statements: Sequence[str]) -> str:
    return "".join(f"{statement};\n" for statement in statements)


def _single_user(data: Path) -> list[str]:
    return [
        *(str(postgres_bin("postgres")), "--single", "-D", str(data)),
        *("-c", "archive_mode=off", "-c", "exit_on_error=true", "-c", "log_checkpoints=off"),
        # Nobody has stored anything yet, so nothing can be lost.
        *("-c", "fsync=off"),
        "postgres",
    ]


def _run(argv: list[str], cwd: Path, text: str = "") -> None:
    mapped = map_user()
    if mapped is not None:
        # Through a small program of its own, because a fork hook is not safe beside threads.
        argv = [*(sys.executable, "-I", "-S", "-c", _AS_USER, procfs.__file__, str(mapped)), *argv]
    try:
        done = subprocess.run(
            argv,
            input=text,
            cwd=cwd,
            env=service_environment(cwd, {}),
            capture_output=True,
            text=True,
            timeout=_STEP_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetError(
            f"{Path(argv[0]).name} could not be run.",
            expected="PostgreSQL's programs to run as this user",
            actual=str(error),
            next_step="ragdrill doctor",
        ) from error
    if done.returncode != 0:
        raise TargetError(
            "PostgreSQL could not initialise a data directory.",
            expected="exit status 0",
            actual=f"{done.returncode}: {done.stderr.strip()[-600:]}",
            next_step="ragdrill doctor; `df -h` shows whether there is room",
        )


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
