"""``ragdrill doctor --target`` and ``ragdrill challenge`` on a vector store of somebody else."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import attached
from harness.cli.main import main

KEY = "a-key-of-the-store"


class Store(http.server.BaseHTTPRequestHandler):
    """A vector store that answers who has the key, or anybody when it is ``careless``."""

    careless = False

    def do_GET(self) -> None:
        known = self.careless or self.headers.get("api-key") == KEY
        body = b'{"result": {"aliases": []}}' if known else b"no"
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORE_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "target.toml"
    path.write_text(
        '[target]\nname = "staging"\ndriver = "attach"\n'
        f'[roles.vectordb]\nurl = "http://127.0.0.1:{server.server_port}"\n'
        'api_key_env = "STORE_KEY"\n'
    )
    yield path
    server.shutdown()


def test_doctor_says_what_answers_what_is_allowed_and_what_can_be_shown(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--target", str(file)]) == 0
    told = capsys.readouterr().out
    assert "yes" in told and "refused" in told
    assert "allowed       read\n" in told
    assert "security/no-default-secret" in told
    # A full round trip takes more than this target gives, and it says what.
    assert "recovery/round-trip" in told and "allow destroy" in told
    assert KEY not in told


def test_doctor_marks_a_role_that_answers_strangers(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "careless", True)
    assert main(["doctor", "--target", str(file)]) == 0
    assert "ANSWERS TOO" in capsys.readouterr().out


def test_doctor_ends_with_two_for_a_wrong_key(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_KEY", "another")
    assert main(["doctor", "--target", str(file)]) == 2
    assert "credential is missing or wrong" in capsys.readouterr().out


def test_doctor_refuses_production_where_it_may_be_harmed(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached, "collect", list)
    text = file.read_text().replace('"staging"', '"shop-prod"')
    file.write_text(text)
    assert main(["doctor", "--target", str(file)]) == 0, "production may be read"
    assert "\nproduction" not in capsys.readouterr().out
    file.write_text(text.replace("driver", 'allow = ["read", "restart"]\ndriver'))
    assert main(["doctor", "--target", str(file)]) == 2
    told = capsys.readouterr().out
    assert "by the name 'shop-prod': refused" in told and "challenge     not asked" in told


def test_doctor_tries_the_keys_of_the_bucket(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something that answers is not yet something that lets us in."""
    monkeypatch.setattr(attached, "collect", list)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        file.write_text(
            file.read_text() + f'[roles.objectstore]\nurl = "http://127.0.0.1:{server.server_port}"'
            '\naccess_key_env = "S3_ID"\nsecret_key_env = "S3_KEY"\nbucket = "backups"\n'
        )
        monkeypatch.setenv("S3_KEY", "a-secret-of-the-bucket")
        for given, code, told in (
            ("known", 0, r"objectstore +\S+ +yes +refused"),
            ("stranger", 2, "the keys are missing or wrong"),
        ):
            monkeypatch.setenv("S3_ID", given)
            assert main(["doctor", "--target", str(file)]) == code
            assert re.search(told, capsys.readouterr().out)
        server.shutdown()


class Bucket(http.server.BaseHTTPRequestHandler):
    """An object store that lets one key in; whether a request is well signed it does not look."""

    def do_HEAD(self) -> None:
        known = "Credential=known/" in self.headers.get("Authorization", "")
        self.send_response(200 if known else 403)
        self.end_headers()

    def do_GET(self) -> None:
        """The place of the bucket, which is asked for before the bucket."""
        known = "Credential=known/" in self.headers.get("Authorization", "")
        refusal = b"<Error><Code>InvalidAccessKeyId</Code><Message>no</Message></Error>"
        body = b"<LocationConstraint>us-east-1</LocationConstraint>" if known else refusal
        self.send_response(200 if known else 403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_challenge_prints_a_token_and_check_asks_for_it(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["challenge", "--target", str(file)]) == 0
    told = capsys.readouterr().out
    token = told.rpartition("RAGDRILL_CHALLENGE=")[2].split()[0]
    assert f"ragdrill-challenge-{token}" in told
    file.write_text(file.read_text().replace("[roles", 'challenge_env = "TOKEN"\n[roles', 1))
    monkeypatch.setenv("TOKEN", token)
    assert main(["challenge", "--target", str(file), "--check"]) == 2
    assert "no alias carries the token" in capsys.readouterr().out


def test_only_a_target_that_runs_already_can_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "target.toml"
    path.write_text('[target]\nname = "mine"\n')
    assert main(["doctor", "--target", str(path)]) == 4
    assert 'driver = "attach"' in capsys.readouterr().err
