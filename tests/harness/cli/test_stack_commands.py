"""``ragdrill up``, ``status``, ``logs``, ``token`` and ``down``, as a newcomer types them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "harness.cli.main"]


class Shell:
    """Runs the command with a temporary directory of its own."""

    def __init__(self, temporary: Path) -> None:
        self.env = {
            **{name: value for name, value in os.environ.items() if name != "FORCE_COLOR"},
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C",
            "COLUMNS": "80",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            env=self.env,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("temporary"))


@pytest.fixture(scope="module")
def up(shell: Shell) -> Iterator[dict[str, Any]]:
    done = shell.run("up", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    yield told
    shell.run("down", "--run", told["run_id"])
    shutil.rmtree(Path(told["logs"]).parent)


def test_without_a_stack_every_command_says_how_to_get_one(shell: Shell) -> None:
    for command in (["down"], ["status"], ["logs", "edge"], ["token"]):
        done = shell.run(*command)
        assert done.returncode == 2
        assert "No stack is up." in done.stderr and "ragdrill up" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_curl_line_that_it_prints_works(shell: Shell, up: dict[str, Any]) -> None:
    assert up["documents"] > 100
    done = subprocess.run(
        up["curl"], shell=True, capture_output=True, text=True, timeout=30, check=True
    )
    assert len(json.loads(done.stdout)["results"]) == 3


def test_a_second_stack_is_refused_unless_asked_for(shell: Shell, up: dict[str, Any]) -> None:
    done = shell.run("up")
    assert done.returncode == 4
    assert up["run_id"] in done.stderr and "--another" in done.stderr


def test_status_shows_every_process_in_80_columns_without_colour(
    shell: Shell, up: dict[str, Any]
) -> None:
    done = shell.run("status")
    assert done.returncode == 0, done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    told = json.loads(shell.run("status", "--json").stdout)
    names = {process["name"] for process in told["processes"]}
    assert {"gateway-blue", "metadata", "edge", "vectordb"} <= names
    assert told["stopped"] == [] and told["run_id"] == up["run_id"]


def test_status_fails_when_a_role_is_down(shell: Shell, up: dict[str, Any]) -> None:
    pids = {
        p["name"]: p["pid"] for p in json.loads(shell.run("status", "--json").stdout)["processes"]
    }
    os.kill(pids["pager"], 9)
    done = shell.run("status")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if "pager" in line and "stopped" in line]


def test_logs_shows_the_last_lines_of_a_role(shell: Shell, up: dict[str, Any]) -> None:
    done = shell.run("logs", "edge", "-n", "2")
    assert done.returncode == 0
    assert [json.loads(line)["service"] for line in done.stdout.splitlines()] == ["edge", "edge"]


def test_following_a_log_shows_what_comes(shell: Shell, up: dict[str, Any], tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    with shown.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "logs", "edge", "-n", "0", "-f"], stdout=output, env=shell.env
        )
    try:
        deadline = time.monotonic() + 30
        while "/followed" not in shown.read_text():
            assert time.monotonic() < deadline and process.poll() is None
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(up["url"] + "/followed", timeout=5)
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)


def test_an_unknown_role_is_answered_with_the_known_ones(shell: Shell, up: dict[str, Any]) -> None:
    done = shell.run("logs", "gatway")
    assert done.returncode == 2 and "gateway" in done.stderr and "Traceback" not in done.stderr


def test_a_fresh_token_is_taken_by_the_gateway(shell: Shell, up: dict[str, Any]) -> None:
    done = shell.run("token")
    token = done.stdout.strip()
    assert done.returncode == 0 and token.count(".") == 2 and token != up["token"]


def test_down_leaves_nothing_but_logs(shell: Shell, up: dict[str, Any]) -> None:
    done = shell.run("down")
    assert done.returncode == 0 and up["logs"] in done.stdout
    assert not Path(up["state"]).exists()
    assert (Path(up["logs"]) / "gateway-blue.log").exists()
