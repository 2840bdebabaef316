"""The watchdog undoes what its owner can't, once, and never what belongs to somebody else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_owner import hold_and_sleep

from harness.drivers.embedded import procfs
from harness.drivers.watchdog import Lease, NoWatchdog, abandoned, orders_in

pytestmark = pytest.mark.slow

Owner = Callable[..., tuple[int, int]]


def eventually(check: Callable[[], bool], limit_s: float = 20.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(autouse=True)
def _healers_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def owner() -> Iterator[Owner]:
    """Starts a process that holds orders in a lease; returns its pid and its watchdog's."""
    started: list[Any] = []
    dogs: list[int] = []
    # A plain fork would take the threads' locks of this process along.
    context = multiprocessing.get_context("spawn")

    def start(directory: Path, *orders: dict[str, Any], patience_s: float = 60) -> tuple[int, int]:
        mine, theirs = context.Pipe()
        named = {f"order-{number}": order for number, order in enumerate(orders)}
        process = context.Process(
            target=hold_and_sleep, args=(directory, named, patience_s, theirs), daemon=True
        )
        process.start()
        started.append(process)
        assert mine.poll(60)
        pid, dog = mine.recv()
        dogs.append(dog)
        return pid, dog

    yield start
    for process in started:
        process.kill()
        process.join(10)
    for dog in dogs:
        procfs.send(dog, signal.SIGKILL)


def test_it_undoes_everything_newest_first_when_its_owner_is_killed(
    tmp_path: Path, owner: Owner
) -> None:
    file = tmp_path / "undone"
    orders = [{"file": str(file), "name": name} for name in ("outer", "inner")]
    pid, dog = owner(tmp_path / "lease", *orders)
    assert not file.exists(), "a living owner undoes for itself"
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: file.exists() and file.read_text() == "inner\nouter\n")
    assert eventually(lambda: not procfs.is_alive(dog)), "its work is done"
    assert not (tmp_path / "lease").exists()


def test_it_undoes_when_its_owner_hangs_and_says_so(tmp_path: Path, owner: Owner) -> None:
    file = tmp_path / "undone"
    pid, dog = owner(tmp_path / "lease", {"file": str(file), "name": "it"}, patience_s=2.5)
    os.kill(pid, signal.SIGSTOP)
    assert eventually(lambda: file.exists() and file.read_text() == "it\n")
    lease = Lease(tmp_path / "lease", "", tmp_path / "log")
    assert eventually(lambda: lease.undone("order-0") is not None)
    assert procfs.is_alive(dog), "the owner may come back and break something again"


def test_it_tries_again_when_an_undo_fails(tmp_path: Path, owner: Owner) -> None:
    file = tmp_path / "undone"
    pid, _ = owner(tmp_path / "lease", {"file": str(file), "name": "it", "fails": 3})
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: file.exists() and file.read_text() == "it\n")


def test_ctrl_c_does_not_reach_it(tmp_path: Path, owner: Owner) -> None:
    _, dog = owner(tmp_path / "lease", {"file": str(tmp_path / "undone"), "name": "it"})
    row = procfs.read_process(dog)
    assert row is not None and row.session == dog
    os.kill(dog, signal.SIGINT)
    os.kill(dog, signal.SIGHUP)
    time.sleep(0.3)
    assert procfs.is_alive(dog)


def test_of_two_runs_only_the_dead_one_is_healed(tmp_path: Path, owner: Owner) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    pids = [
        owner(tmp_path / f"run-{n}.lease-1", {"file": str(file), "name": "it"})
        for n, file in enumerate(files)
    ]
    os.kill(pids[0][0], signal.SIGKILL)
    assert eventually(files[0].exists)
    assert eventually(lambda: not procfs.is_alive(pids[0][1]))
    assert not files[1].exists() and procfs.is_alive(pids[1][1])
    assert abandoned(tmp_path) == []


def test_a_lease_is_abandoned_only_when_owner_and_watchdog_are_both_gone(
    tmp_path: Path, owner: Owner
) -> None:
    directory = tmp_path / "run.lease-1"
    pid, dog = owner(directory, {"file": str(tmp_path / "undone"), "name": "it"})
    assert abandoned(tmp_path) == []
    os.kill(dog, signal.SIGKILL)
    assert eventually(lambda: not procfs.is_alive(dog))
    assert abandoned(tmp_path) == [], "its owner still lives"
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: abandoned(tmp_path) == [directory])
    assert list(orders_in(directory)) == ["order-0"]


def test_a_lease_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease", "fault_healers:note", tmp_path / "log")
    lease.hold("one", {"file": str(tmp_path / "undone"), "name": "it"})
    dog = lease.pid
    assert dog is not None
    lease.drop("one")
    lease.close()
    assert not procfs.is_alive(dog) and not (tmp_path / "lease").exists()
    assert not (tmp_path / "undone").exists(), "what its owner undid is not undone again"


def test_a_watchdog_that_died_is_replaced_before_the_next_fault(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease", "fault_healers:note", tmp_path / "log")
    lease.hold("one", {"file": str(tmp_path / "undone"), "name": "it"})
    first = lease.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: lease.pid is None)
    lease.hold("two", {"file": str(tmp_path / "undone"), "name": "it"})
    assert lease.pid not in (None, first)
    for name in ("one", "two"):
        lease.drop(name)
    lease.close()


def test_without_a_watchdog_no_undo_is_promised(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease", "no_such_module:heal", tmp_path / "log")
    with pytest.raises(NoWatchdog, match="did not come up"):
        lease.hold("one", {})
    assert "no_such_module" in (tmp_path / "log").read_text()
