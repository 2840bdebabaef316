"""Fixtures of the auth service's tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from auth_lab import REPOSITORY, Auth, Server, Start, end, free_port, private, settings
from joserfc import jwk


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    # Not pytest's own folder: its parents are closed to the mapped user on some systems.
    with tempfile.TemporaryDirectory(prefix="ragdrill-pg-") as folder:
        server = Server(Path(folder))
        try:
            server.initialise()
            server.start()
            with psycopg.connect(server.owner_dsn, autocommit=True) as connection:
                for _ in range(2):
                    for path in sorted((REPOSITORY / "refstack/auth/sql").glob("*.sql")):
                        connection.execute(path.read_text())
                connection.execute("ALTER ROLE rag_auth PASSWORD 'for-tests'")
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def ec_key() -> jwk.Key:
    return jwk.ECKey.generate_key("P-256")


@pytest.fixture(scope="session")
def start(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    started: list[Auth] = []

    def start(keys: list[dict[str, object]], *, dsn: str = "", **changed: str) -> Auth:
        port = free_port()
        log = tmp_path_factory.mktemp("auth") / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "refstack.auth", "--port", str(port)],
                cwd=REPOSITORY,
                env=settings(dsn or server.service_dsn, keys, **changed),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        auth = Auth(f"http://127.0.0.1:{port}", process, log)
        started.append(auth)
        for _ in range(200):
            try:
                auth.get("/healthz")
                return auth
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
        raise AssertionError("the service did not start within 10 s")

    try:
        yield start
    finally:
        for auth in started:
            end(auth.process, signal.SIGTERM)


@pytest.fixture(scope="session")
def auth(start: Start, ec_key: jwk.Key) -> Auth:
    auth = start(
        [private(ec_key, "first", "sign", "verify")],
        AUTH_FAILED_LOGINS="3",
        GOTRUE_SECURITY_REFRESH_TOKEN_REUSE_INTERVAL="0",
    )
    for _ in range(100):
        if auth.get("/readyz").status_code == 200:
            return auth
        time.sleep(0.05)
    raise AssertionError(auth.get("/readyz").text)
