"""A later run removes what a dead run left, and nothing else."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_lab import eventually, marked

from harness.drivers.embedded import procfs
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.sweep import sweep

# A child that survives its parent's death, as nginx's workers do; with or without its environment.
SURVIVOR = "setsid sleep 300 & wait"
WITHOUT_ENVIRONMENT = "setsid env -i sleep 300 & wait"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "ragdrill-0"
    made.mkdir()
    return made


@pytest.fixture
def living(root: Path, tmp_path: Path) -> Iterator[KeeperClient]:
    keeper = launch(root, tmp_path, "living")
    yield keeper
    keeper.shutdown()


def launch(root: Path, logs: Path, name: str, script: str = SURVIVOR) -> KeeperClient:
    run_id = f"{name}-{secrets.token_hex(4)}"
    keeper = KeeperClient(run_id, root / run_id)
    keeper.launch(logs)
    keeper.start(
        "family",
        ["/bin/sh", "-c", script],
        env={"PATH": "/usr/bin:/bin"},
        cwd=keeper.scratch,
        log=logs / f"{run_id}.log",
        leftovers=[str(logs / f"{run_id}.sock")],
    )
    assert eventually(lambda: len(keeper.tree("family")) == 2)
    return keeper


def kill_the_keeper(keeper: KeeperClient) -> list[int]:
    """Returns what survives it."""
    pids = keeper.tree("family")
    keeper_pid = keeper.call("status")["pid"]
    os.kill(keeper_pid, signal.SIGKILL)
    assert eventually(lambda: not procfs.is_alive(keeper_pid))
    assert eventually(lambda: sum(procfs.is_alive(pid) for pid in pids) == 1)
    return [pid for pid in pids if procfs.is_alive(pid)]


@pytest.mark.parametrize("script", [SURVIVOR, WITHOUT_ENVIRONMENT], ids=["marked", "unmarked"])
def test_a_dead_run_is_removed_with_its_survivors(root: Path, tmp_path: Path, script: str) -> None:
    dead = launch(root, tmp_path, "dead", script)
    left = tmp_path / f"{dead.run_id}.sock"
    left.write_text("")
    survivors = kill_the_keeper(dead)
    swept = sweep(root)
    assert (swept.processes, swept.directories) == (1, (dead.scratch,))
    assert not any(procfs.is_alive(pid) for pid in survivors)
    assert not dead.scratch.exists() and not left.exists()


def test_survivors_are_found_when_the_directory_is_gone(root: Path, tmp_path: Path) -> None:
    dead = launch(root, tmp_path, "dead")
    kill_the_keeper(dead)
    procfs.remove_tree(str(dead.scratch))
    assert sweep(root).processes == 1
    assert marked(dead.run_id) == []


def test_a_living_run_is_left_alone(root: Path, tmp_path: Path, living: KeeperClient) -> None:
    kill_the_keeper(launch(root, tmp_path, "dead"))
    before = living.tree("family")
    assert sweep(root).processes == 1
    assert living.tree("family") == before and living.scratch.exists()


def test_a_run_whose_keeper_is_yet_to_come_is_left_alone(root: Path) -> None:
    (root / "young").mkdir()
    assert sweep(root).directories == ()
    assert (root / "young").exists()
    day = time.time() - 25 * 3600
    os.utime(root / "young", (day, day))
    assert sweep(root).directories == (root / "young",)


def test_a_process_in_a_dead_run_that_is_our_own_ancestor_is_spared(
    root: Path, tmp_path: Path
) -> None:
    dead = launch(root, tmp_path, "dead")
    kill_the_keeper(dead)
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from harness.drivers.embedded.sweep import sweep;"
        "print(sweep(Path(sys.argv[1])).processes)"
    )
    checkout = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", code, root, checkout],
        cwd=dead.scratch,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr


def test_nothing_to_sweep_is_no_error(tmp_path: Path) -> None:
    assert sweep(tmp_path / "absent").processes == 0
