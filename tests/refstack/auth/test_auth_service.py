"""The auth service as a process: settings, and a database that goes away and comes back."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from auth_lab import REPOSITORY, Auth, Server, Start, private, settings
from joserfc import jwk

from refstack.auth.limiter import Limiter


def _wait_for(auth: Auth, path: str, status: int) -> None:
    for _ in range(200):
        if auth.get(path).status_code == status:
            return
        time.sleep(0.05)
    raise AssertionError(auth.get(path).text)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"GOTRUE_JWT_KEYS": "[]"}, "GOTRUE_JWT_KEYS"),
        ({"AUTH_SERVICE_KEY": "short"}, "AUTH_SERVICE_KEY"),
        ({"AUTH_DATABASE_URL": "http://x"}, "AUTH_DATABASE_URL"),
        ({"GOTRUE_JWT_EXP": "soon"}, "GOTRUE_JWT_EXP"),
        ({"GOTRUE_JWT_ISSUER": ""}, "GOTRUE_JWT_ISSUER"),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(
    changed: dict[str, str], named: str, ec_key: jwk.Key
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "refstack.auth", "--port", "0"],
        cwd=REPOSITORY,
        env=settings("postgresql://x@127.0.0.1:1/x", [private(ec_key, "a", "sign")], **changed),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"refstack.auth: {named}")
    assert len(done.stderr.splitlines()) == 1


def test_the_service_starts_without_its_database_and_says_so(start: Start, ec_key: jwk.Key) -> None:
    auth = start([private(ec_key, "a", "sign")], dsn="postgresql://x:y@127.0.0.1:9/x")
    unready = auth.get("/readyz")
    assert unready.status_code == 503
    assert "metadata" in unready.json()["dependencies"]
    assert auth.get("/health").status_code == 200
    assert auth.get("/.well-known/jwks.json").status_code == 200


def test_the_service_comes_back_with_its_database(auth: Auth, server: Server) -> None:
    email = f"{uuid4().hex}@example.org"
    auth.admin("POST", "/admin/users", {"email": email, "password": "correct horse"})
    server.stop()
    try:
        refused = auth.sign_in(email)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert auth.get("/readyz").status_code == 503
    finally:
        server.start()
    _wait_for(auth, "/readyz", 200)
    assert auth.sign_in(email).status_code == 200


def test_the_service_stays_small(auth: Auth) -> None:
    email = f"{uuid4().hex}@example.org"
    auth.admin("POST", "/admin/users", {"email": email, "password": "correct horse"})
    assert auth.sign_in(email).status_code == 200
    resident = psutil.Process(auth.process.pid).memory_info().rss
    assert resident < 100 << 20


def test_attempts_are_counted_in_a_window_and_for_a_bounded_number_of_names() -> None:
    now = 0.0
    limiter = Limiter(2, 10, names=2, clock=lambda: now)
    assert [limiter.begin("a"), limiter.begin("a"), limiter.begin("a")] == [0, 0, 10]
    now = 10.0
    assert limiter.begin("a") == 0
    limiter.succeeded("a")
    assert [limiter.begin("a"), limiter.begin("a")] == [0, 0]
    limiter.begin("b")
    limiter.begin("c")
    assert limiter.begin("a") == 0


def test_the_log_of_the_whole_run_is_json_lines(auth: Auth) -> None:
    lines = Path(auth.log).read_text().splitlines()
    assert lines
    assert all(line.startswith('{"ts":') for line in lines)
