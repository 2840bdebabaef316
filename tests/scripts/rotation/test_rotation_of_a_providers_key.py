"""A provider's key: nothing is dropped before what takes its place works, and no key gets lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.rotation.files import Register
from scripts.rotation.provider import cosine, run

OLD, NEW = "old-key-0001", "new-key-0002"


class Provider(ThreadingHTTPServer):
    """An OpenAI-compatible provider, which is its own gateway; ``keys`` are taken."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = {OLD: [1.0, 0.0], NEW: [1.0, 0.0]}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        vector = self.server.keys.get(self.headers["Authorization"].removeprefix("Bearer "))
        status = 401 if vector is None else 200
        self._answer(status, {"data": [{"embedding": vector}]})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_about: object) -> None:
        """Nothing."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def rotate(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    (tmp_path / "key").write_text(OLD)

    def rotating(*arguments: str, new: str = NEW, apply: str = "", drop: str = "") -> int:
        variables = {
            "PROVIDER_URL": provider.url,
            "PROVIDER_MODEL": "m",
            "PROVIDER_KEY_FILE": str(tmp_path / "key"),
            "PROVIDER_KEY_NAME": "openai",
            "PROVIDER_KEY_APPLY_CMD": apply or f'printf %s "$PROVIDER_KEY" >{tmp_path}/gateway',
            "PROVIDER_KEY_DROP_CMD": drop,
            "GATEWAY_URL": provider.url,
            "GATEWAY_URLS": "",
            "KEY_REGISTER": str(tmp_path / "register.json"),
            "NEW_PROVIDER_KEY": new,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return run(list(arguments))

    return rotating


def _held(tmp_path: Path) -> tuple[str, bool]:
    return (tmp_path / "key").read_text(), (tmp_path / "key.previous").exists()


def test_the_new_key_goes_in_and_the_old_one_waits_for_its_end(
    rotate: Callable[..., int],
    provider: Provider,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert rotate() == 0
    assert _held(tmp_path) == (NEW, True)
    assert (tmp_path / "gateway").read_text() == NEW
    assert Register(tmp_path / "register.json").created("openai") is not None
    assert "old_still_taken" in capsys.readouterr().out
    del provider.keys[OLD]
    assert rotate(new="") == 0
    assert _held(tmp_path) == (NEW, False)
    assert rotate(new="") == rotate() == 0
    told = capsys.readouterr()
    assert OLD not in told.out + told.err and NEW not in told.out + told.err


@pytest.mark.parametrize("vector", [None, [0.0, 1.0], [1.0, 0.0, 0.0]])
def test_a_key_that_does_not_do_the_same_does_not_get_in(
    rotate: Callable[..., int], provider: Provider, tmp_path: Path, vector: list[float] | None
) -> None:
    if vector is None:
        del provider.keys[NEW]
    else:
        provider.keys[NEW] = vector
    assert rotate() == 1
    assert _held(tmp_path) == (OLD, False) and not (tmp_path / "gateway").exists()


def test_a_gateway_that_does_not_take_it_gets_the_old_one_back(
    rotate: Callable[..., int], tmp_path: Path
) -> None:
    command = f'printf %s "$PROVIDER_KEY" >{tmp_path}/gateway; test "$PROVIDER_KEY" = {OLD}'
    assert rotate(apply=command) == 2
    assert _held(tmp_path) == (OLD, False)
    assert (tmp_path / "gateway").read_text() == OLD
    assert not (tmp_path / "register.json").exists()


def test_the_old_key_is_not_dropped_while_the_new_one_is_refused(
    rotate: Callable[..., int], provider: Provider, tmp_path: Path
) -> None:
    assert rotate() == 0
    del provider.keys[NEW]
    assert rotate(new="", drop=f"touch {tmp_path}/dropped") == 2
    assert _held(tmp_path) == (NEW, True) and not (tmp_path / "dropped").exists()


def test_a_dry_run_and_the_status_change_nothing(
    rotate: Callable[..., int], tmp_path: Path
) -> None:
    assert rotate("--dry-run") == rotate("--status") == 0
    assert _held(tmp_path) == (OLD, False)
    assert not (tmp_path / "gateway").exists() and not (tmp_path / "register.json").exists()


def test_the_key_on_its_way_out_is_no_new_one(rotate: Callable[..., int], tmp_path: Path) -> None:
    assert rotate() == 0
    assert rotate(new=OLD) == 1
    assert _held(tmp_path) == (NEW, True)


def test_what_is_missing_is_named(
    rotate: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").unlink()
    assert rotate() == 4
    assert "PROVIDER_KEY_FILE" in capsys.readouterr().err


def test_the_cosine_of_unlike_lengths_is_nothing() -> None:
    assert cosine([1.0], [1.0, 0.0]) == 0.0
    assert cosine([1.0, 1.0], [2.0, 2.0]) == pytest.approx(1.0)
