"""Whenever the owner of a stack of containers is killed, nothing of its run stays."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_lab import owner

pytest.importorskip("testcontainers", reason="the extra `containers` is not installed")

sys.path.insert(0, str(Path(__file__).parent / "contract"))

import docker
from contract_labs import ContainersLab, new_run_id

from harness.core.errors import HarnessError
from harness.drivers.containers import labels
from harness.drivers.containers.engine import connect
from harness.drivers.containers.reaper_client import Reaper
from harness.drivers.containers.removal import find, remove_run, sweep
from harness.drivers.embedded import procfs

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("RAGDRILL_SOAK", "3"))
LONGEST_BOOT_S = 12.0
EARLY = 0.2
"""The share of the kills that may come before there is any container."""
LIMIT_S = 120.0

# Makes a network and a volume of a run, and a process of another one's, then waits to be killed.
LITTLE_RUN = """
import sys, time
from pathlib import Path
from harness.drivers.containers import labels
from harness.drivers.containers.engine import connect
from harness.drivers.containers.reaper_client import Reaper
client = connect()
if sys.argv[2] == "with":
    Reaper(sys.argv[1], Path(sys.argv[3]) / "scratch").launch(Path(sys.argv[3]))
made = labels.of_run(sys.argv[1])
client.networks.create(sys.argv[1], labels=made)
client.volumes.create(sys.argv[1], labels=made)
print("made", flush=True)
time.sleep(300)
"""


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    """The engine; a skip where none answers."""
    try:
        client = connect()
    except HarnessError as error:
        pytest.skip(error.what)
    yield client
    client.close()


@pytest.fixture
def run_id(engine: docker.DockerClient) -> Iterator[str]:
    """A run's id; whatever a failing test leaves of it is removed."""
    name = new_run_id()
    yield name
    remove_run(engine, name)


def gone(engine: docker.DockerClient, run_id: str) -> bool:
    """Whether nothing of the run is left before the limit."""
    deadline = time.monotonic() + LIMIT_S
    while find(engine, run_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def little_run(run_id: str, reaper: str, place: Path) -> subprocess.Popen[str]:
    """Begin one; returns once it has made what it makes."""
    process = owner(LITTLE_RUN, [run_id, reaper, str(place)])
    assert process.stdout is not None and process.stdout.readline() == "made\n"
    return process


def test_the_reaper_removes_what_a_killed_run_made(
    engine: docker.DockerClient, run_id: str, tmp_path: Path
) -> None:
    process = little_run(run_id, "with", tmp_path)
    assert len(find(engine, run_id).words()) == 2
    process.kill()
    process.wait(30)
    assert gone(engine, run_id), find(engine, run_id).words()


def test_a_later_run_sweeps_what_was_left_and_nothing_that_lives(
    engine: docker.DockerClient, run_id: str, tmp_path: Path
) -> None:
    """As where the reaper was killed too."""
    living = new_run_id()
    engine.networks.create(living, labels=labels.of_run(living))
    try:
        process = little_run(run_id, "without", tmp_path)
        assert run_id not in sweep(engine), "it removed a living run"
        process.kill()
        process.wait(30)
        assert find(engine, run_id), "without a reaper it stays"
        assert run_id in sweep(engine)
        assert not find(engine, run_id)
        assert find(engine, living)
    finally:
        remove_run(engine, living)


def test_another_machines_runs_are_left_alone(engine: docker.DockerClient, run_id: str) -> None:
    made = {**labels.of_run(run_id), labels.OWNER: "1 1", labels.MACHINE: "another/one/here"}
    engine.networks.create(run_id, labels=made)
    assert run_id not in sweep(engine)
    assert find(engine, run_id)


def test_a_deaf_reaper_is_noticed(engine: docker.DockerClient, run_id: str, tmp_path: Path) -> None:
    """The proof above is worth something: without the reaper it fails."""
    process = little_run(run_id, "without", tmp_path)
    process.kill()
    process.wait(30)
    time.sleep(1)
    assert find(engine, run_id)


# Makes a volume of a run that is left to the process which is named last, and ends.
LEFT_RUN = """
import sys
from pathlib import Path
from harness.drivers.containers import labels
from harness.drivers.containers.engine import connect
from harness.drivers.containers.reaper_client import Reaper
other = int(sys.argv[3])
reaper = Reaper(sys.argv[1], Path(sys.argv[2]) / "scratch")
reaper.launch(Path(sys.argv[2]))
connect().volumes.create(sys.argv[1], labels=labels.of_run(sys.argv[1], other))
print(reaper.pid, flush=True)
reaper.hand_over(other)
reaper.hand_over(other)
"""


def test_what_is_left_to_another_process_stays_until_that_ends(
    engine: docker.DockerClient, run_id: str, tmp_path: Path
) -> None:
    other = owner("input()", [], stdin=subprocess.PIPE)
    try:
        process = owner(LEFT_RUN, [run_id, str(tmp_path), str(other.pid)])
        told, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
        # A reaper that saw only its owner's end would be done with its looks by now.
        time.sleep(2)
        assert procfs.is_alive(int(told)), "it did not wait for the other one"
        assert run_id not in sweep(engine) and find(engine, run_id)
    finally:
        other.communicate(timeout=30)
    assert gone(engine, run_id), find(engine, run_id).words()


def test_a_reaper_is_let_go_at_the_end(run_id: str, tmp_path: Path) -> None:
    reaper = Reaper(run_id, tmp_path / "scratch")
    reaper.launch(tmp_path)
    pid = reaper.pid
    assert pid is not None
    reaper.dismiss()
    reaper.dismiss()
    assert reaper.pid is None and not Path(f"/proc/{pid}").exists()


def at_some_moment(
    engine: docker.DockerClient, run_id: str, process: subprocess.Popen[str]
) -> float:
    """Return, after so many seconds, at a moment of the boot that nobody chose."""
    began = time.monotonic()
    if random.random() > EARLY:
        # However slow the machine is, most kills hit a run that has something to leave behind.
        while not find(engine, run_id).containers and process.poll() is None:
            assert time.monotonic() < began + LIMIT_S, "it makes no container"
            time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(random.uniform(0.0, LONGEST_BOOT_S))
    return time.monotonic() - began


@pytest.mark.timeout(LIMIT_S * 5)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_left_of_a_stack_killed_at_any_moment(
    engine: docker.DockerClient, number: int, tmp_path: Path
) -> None:
    lab = ContainersLab()
    why = lab.unavailable()
    if why:
        pytest.skip(why)
    run_id = new_run_id()
    process = lab.owner(run_id, tmp_path)
    try:
        moment = at_some_moment(engine, run_id, process)
        seen = len(find(engine, run_id).containers)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    began = time.monotonic()
    deadline = began + LIMIT_S
    while (left := lab.left(run_id, tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    print(
        f"round {number + 1} of {ROUNDS}: killed after {moment:.1f} s with {seen} containers; "
        f"all gone {time.monotonic() - began:.1f} s later"
    )
    assert not left, (moment, left)
