"""Tests for scripts/dayops/script.py and the entry points: how a script ends and what it tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import TargetError
from harness.core.run import CHECKOUT
from scripts.dayops import script
from scripts.dayops.__main__ import SCRIPTS
from scripts.dayops.environment import Environment

STORE = {
    "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "very-secret",
    "QDRANT_URL": "http://127.0.0.1:1",
    "QDRANT_API_KEY": "other-secret",
    "DATABASE_URL": "postgresql://owner:third-secret@127.0.0.1:1/rag",
}
FILES = [name for name in SCRIPTS if name != "wal_archive"]
FIRST = {"rollout_gateway": "GATEWAY_URL", "promote_model": "GATEWAY_URL"}
"""A variable that a script can't do without, where it is not the object store's address."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in STORE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def run(work: script.Work, *argv: str) -> int:
    return script.main("a.sh", script.parser("a.sh", "A.", ()), (), work, argv)


def last(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    out, err = capsys.readouterr()
    return json.loads(out.splitlines()[-1]), err


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (script.Refused("bad"), 1),
        (TargetError("away"), 2),
        (OSError(28, "No space left on device"), 2),
        (script.Busy("another"), 3),
        (script.Disagree("apart"), 5),
        (KeyboardInterrupt(), 130),
        (script.Terminated(), 143),
    ],
)
def test_each_way_to_end_has_its_exit_code_and_is_told(
    error: BaseException | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(task: script.Task) -> None:
        task.told["found"] = 7
        if error is not None:
            raise error

    assert run(work) == code
    told, _ = last(capsys)
    assert (told["event"], told["exit_code"], told["found"]) == ("finished", code, 7)


@pytest.mark.usefixtures("settings")
def test_a_wrong_argument_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda task: None, "--no-such-thing") == 4
    assert "--help" in capsys.readouterr().err


@pytest.mark.usefixtures("settings")
def test_no_secret_reaches_the_log_or_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def work(task: script.Task) -> None:
        with task.log.step("one", value="x very-secret y"):
            task.log.say("other-secret")
        raise TargetError("failed", actual="third-secret")

    run(work)
    out, err = capsys.readouterr()
    assert "secret" not in (out + err).replace("[redacted]", "")
    assert "[redacted]" in out and "[redacted]" in err


@pytest.mark.usefixtures("settings")
def test_a_step_tells_its_start_its_end_and_its_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(task: script.Task) -> None:
        with task.log.step("one") as found:
            found["rows"] = 3
        with pytest.raises(TargetError), task.log.step("two"):
            raise TargetError("no")

    run(work)
    steps = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [(e["step"], e["state"]) for e in steps if e["event"] == "step"]
    assert told == [("one", "started"), ("one", "done"), ("two", "started"), ("two", "failed")]
    assert steps[1]["rows"] == 3 and steps[1]["seconds"] >= 0


@pytest.mark.usefixtures("settings")
def test_a_second_run_on_the_same_bucket_waits_and_then_gives_way() -> None:
    environment = Environment()
    with script.alone(environment, "vectordb"):
        with script.alone(environment, "metadata"):
            pass
        with pytest.raises(script.Busy), script.alone(environment, "vectordb", wait_s=0.2):
            pass
    with script.alone(environment, "vectordb", wait_s=0):
        pass


def start(name: str, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in STORE}
    return subprocess.run(
        [CHECKOUT / "scripts" / f"{name}.sh", *argv],
        env={**clean, "PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("name", FILES)
def test_the_help_has_the_variables_and_the_exit_codes(name: str) -> None:
    done = start(name, "--help")
    assert done.returncode == 0
    assert f"scripts/{name}.sh" in done.stdout
    assert "exit codes:" in done.stdout and FIRST.get(name, "S3_ENDPOINT_URL") in done.stdout


@pytest.mark.parametrize("name", FILES)
def test_a_missing_variable_is_named_and_nothing_is_begun(name: str) -> None:
    arguments = ("--date", "2026-05-09") if name == "restore_dr" else ()
    done = start(name, *arguments)
    assert done.returncode == 4
    assert FIRST.get(name, "S3_ENDPOINT_URL") in done.stderr and "Traceback" not in done.stderr


def test_a_store_that_does_not_answer_is_said_without_a_traceback(tmp_path: Path) -> None:
    done = start("backup_qdrant", **STORE, TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert "did not answer" in done.stderr or "The object store" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [each for each in tmp_path.iterdir() if each.name.startswith("ragdrill-script-")]


def test_a_restore_without_a_way_to_stop_writers_is_refused(tmp_path: Path) -> None:
    done = start("restore_dr", "--date", "2026-05-09", **STORE, TMPDIR=str(tmp_path))
    assert done.returncode == 4
    assert "STOP_WRITERS_CMD" in done.stderr
