"""Attaching to a running stack: what is wrong is named, and nothing is allowed unasked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.core.run import Run, new_run
from harness.core.target import TargetFile, load_target
from harness.drivers.attach import AttachedStack, ControlledStack
from harness.drivers.base import Kill, Replace, Restart
from harness.drivers.registry import driver

KEY = "the-real-key"


class Vectors(http.server.BaseHTTPRequestHandler):
    """A vector store that knows one key."""

    def do_GET(self) -> None:
        open_path = self.path == "/"
        allowed = open_path or self.headers.get("api-key") == KEY
        body = b'{"title": "a vector store", "version": "9.9"}' if allowed else b"no"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vectors)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return new_run(
        profile="safe",
        driver="attach",
        target="staging",
        seed=1,
        time_scale=60,
        directory=tmp_path / "kept",
    )


def target(path: Path, text: str) -> TargetFile:
    file = path / "target.toml"
    file.write_text('[target]\nname = "staging"\ndriver = "attach"\n' + text)
    return load_target(file)


def vectordb(url: str) -> str:
    return f'[roles.vectordb]\nurl = "{url}"\napi_key_env = "STAGING_KEY"\n'


def attached(run: Run, file: TargetFile) -> AttachedStack:
    stack: AttachedStack = driver("attach").for_run(run, file, print)
    return stack


def test_a_role_that_answers_is_used_and_only_read(
    server: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_KEY", KEY)
    stack = attached(run, target(tmp_path, vectordb(server)))
    stack.up()
    assert stack.allow == {"read"}
    assert stack.components()[0].version == "9.9"
    assert not isinstance(stack, Kill | Restart)
    again = AttachedStack.attach(run.state_file)
    assert again.endpoint("vectordb") == stack.endpoint("vectordb")
    assert KEY not in run.state_file.read_text()


@pytest.mark.parametrize(
    ("key", "url", "told"),
    [
        ("another-key", None, "credential is missing or wrong"),
        (KEY, "http://127.0.0.1:9", "ConnectError"),
    ],
)
def test_what_can_not_be_used_is_named_with_the_next_step(
    server: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    url: str | None,
    told: str,
) -> None:
    monkeypatch.setenv("STAGING_KEY", key)
    stack = attached(run, target(tmp_path, vectordb(url or server)))
    with pytest.raises(TargetError) as caught:
        stack.up()
    assert told in str(caught.value)
    assert "roles.vectordb" in str(caught.value)
    assert key not in str(caught.value)


def test_a_role_is_asked_where_the_operator_says(
    server: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reranker whose makers have no /readyz is no broken one."""
    monkeypatch.setenv("STAGING_KEY", KEY)
    elsewhere = f'[roles.rerank]\nurl = "{server}"\n'
    with pytest.raises(TargetError, match="401 for /readyz"):
        attached(run, target(tmp_path, elsewhere)).up()
    stack = attached(run, target(tmp_path, elsewhere + 'health = "/"\n'))
    stack.up()
    assert not stack.protects("rerank")


def test_a_secret_that_is_missing_is_asked_for_before_anything_is_touched(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STAGING_KEY", raising=False)
    with pytest.raises(UsageError, match="export STAGING_KEY"):
        attached(run, target(tmp_path, vectordb("http://127.0.0.1:9")))


@pytest.mark.parametrize(
    ("role", "url", "told"),
    [
        ("vectordb", "127.0.0.1:6333", "has to be like http://host:port"),
        ("vectordb", "http://", "has to be like http://host:port"),
        ("vectordb", "http://x:abc", "url is no address: port"),
        ("metadata", "http://db:5432/rag", "postgresql://user@host:port"),
        ("metadata", "postgresql://admin:hunter2@db:5432/rag", "holds a password"),
    ],
)
def test_an_address_that_is_none_is_told_before_anything_is_asked(
    tmp_path: Path, role: str, url: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        target(tmp_path, f'[roles.{role}]\nurl = "{url}"\n')
    assert "hunter2" not in str(caught.value)


def test_nothing_to_attach_to_is_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Nothing to attach to"):
        attached(run, target(tmp_path, ""))


def test_control_runs_the_operators_commands_and_refuses_what_was_not_given(
    server: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_KEY", KEY)
    marker = tmp_path / "restarted"
    text = vectordb(server) + f'[control.vectordb]\nrestart = "touch {marker}"\n'
    stack = attached(run, target(tmp_path, text))
    assert isinstance(stack, Restart)
    stack.restart("vectordb")
    assert marker.exists()
    with pytest.raises(NotAllowed, match="no command to stop vectordb"):
        stack.stop("vectordb")


def test_the_operators_own_command_wipes_a_store(
    server: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_KEY", KEY)
    marker = tmp_path / "wiped"
    text = vectordb(server) + f'[control.vectordb]\nwipe = "touch {marker}"\n'
    text += '[scripts]\nreindex = "true"\n'
    stack = attached(run, target(tmp_path, text))
    assert isinstance(stack, ControlledStack)
    stack.wipe("vectordb")
    assert marker.exists()
    assert stack.scripts == {"reindex": "true"}


def test_the_operators_own_command_rolls_a_role_with_the_settings_in_its_environment(
    server: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_KEY", KEY)
    marker = tmp_path / "rolled"
    text = vectordb(server) + f'[control.vectordb]\nreplace = "echo $LEVEL > {marker}"\n'
    stack = attached(run, target(tmp_path, text))
    assert isinstance(stack, Replace)
    stack.replace("vectordb", {"LEVEL": "7"})
    assert marker.read_text() == "7\n"
    with pytest.raises(NotAllowed, match="no command to rollback vectordb"):
        stack.rollback("vectordb")


def test_a_control_command_that_fails_says_what_it_said(
    server: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_KEY", KEY)
    text = vectordb(server) + '[control.vectordb]\nrestart = "echo broken pipe >&2; exit 3"\n'
    stack = attached(run, target(tmp_path, text))
    assert isinstance(stack, Restart)
    with pytest.raises(TargetError, match="broken pipe"):
        stack.restart("vectordb")
