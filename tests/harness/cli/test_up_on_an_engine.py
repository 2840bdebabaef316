"""`ragdrill up` with an engine: the stack outlives the command, a playbook is walked on it, and
nothing of it stays, whichever way it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("testcontainers", reason="the extra `containers` is not installed")

sys.path.insert(0, str(Path(__file__).parents[1] / "drivers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "drivers" / "contract"))

from contract_labs import LABS

from harness.drivers.containers.engine import connect
from harness.drivers.containers.removal import find, remove_run, sweep
from harness.drivers.embedded.keeper_client import KeeperClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "harness.cli.main"]
WAIT_S = 90.0
COMPOSE = ["--target", str(ROOT / "refstack" / "compose.target.toml")]
HOW = {"containers": ["--driver", "containers"], "compose": COMPOSE}
STEP = ["playbook", "latency", "--step", "embed-fallback"]


def shell(temporary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with a temporary directory of its own."""
    env = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**env, "AUTH_SCRYPT_ROUNDS": "1"},
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )


def eventually(check: Callable[[], object]) -> bool:
    """Ask again and again until the answer is yes or ``WAIT_S`` are over."""
    deadline = time.monotonic() + WAIT_S
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(params=HOW)
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A stack of the driver that is up, and what the command told of it."""
    name: str = request.param
    why = LABS[name]().unavailable()
    if why:
        pytest.skip(f"driver {name}: {why}")
    done = shell(tmp_path, "up", *HOW[name], "--images", "local", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    try:
        yield name, told
    finally:
        shell(tmp_path, "down", "--run", told["run_id"])
        remove_run(connect(), told["run_id"])
        shutil.rmtree(Path(told["logs"]).parent, ignore_errors=True)


def test_it_outlives_the_command_and_a_playbook_is_walked_on_it(
    up: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    name, told = up
    # Whoever boots something next removes what dead runs left.
    assert told["run_id"] not in sweep(connect())
    status = shell(tmp_path, "status", "--json")
    rows = json.loads(status.stdout)["processes"]
    assert status.returncode == 0, status.stdout
    assert {"gateway-blue", "vectordb", "edge", "faultproxy"} <= {row["name"] for row in rows}
    assert all(row["proportional"] > 0 and row["uptime_s"] > 0 for row in rows), rows
    asked = subprocess.run(told["curl"], shell=True, capture_output=True, text=True, timeout=60)
    assert len(json.loads(asked.stdout)["results"]) == 3, asked.stdout
    assert shell(tmp_path, "token").stdout.count(".") == 2

    options = HOW["compose"] if name == "compose" else []
    looked = shell(tmp_path, "playbook", "latency", "--dry-run", *options)
    assert looked.returncode in (0, 1), looked.stdout + looked.stderr
    assert "can't be checked" not in looked.stdout, looked.stdout
    back = shell(tmp_path, *STEP, "--back", "--yes", *options)
    assert back.returncode == 0 and "Done." in back.stdout, back.stdout + back.stderr
    assert shell(tmp_path, "status").returncode == 0

    ended = shell(tmp_path, "down")
    assert ended.returncode == 0 and told["run_id"] in ended.stdout, ended.stderr
    lab = LABS[name]()
    assert eventually(lambda: not find(connect(), told["run_id"]))
    assert eventually(lambda: not lab.left(told["run_id"], tmp_path))


def test_nothing_stays_when_what_keeps_it_is_killed(
    up: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    told = up[1]
    os.kill(KeeperClient(told["run_id"], Path(told["state"])).pid, signal.SIGKILL)
    assert eventually(lambda: not find(connect(), told["run_id"]))
    assert eventually(lambda: not Path(told["state"]).exists())
    assert "No stack is up." in shell(tmp_path, "status").stderr
