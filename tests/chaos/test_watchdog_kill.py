"""Whoever injects faults may be killed at any moment: a few seconds later nothing of it is left.

Ten moments here, fifty with RAGDRILL_SOAK=50 (``make soak``). The stack lives on, so nothing but
the watchdog can have undone what was on.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fault_owner import FLEETING, inject_forever, lines, run_of

from chaos.faults import FAULTS, mounts
from fixtures.faults import Injector
from fixtures.residue import Fingerprint, difference, fingerprint
from harness.core.errors import TargetError
from harness.core.history import History
from harness.drivers.embedded import procfs
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("RAGDRILL_SOAK", "10"))
LIMIT_S = float(os.environ.get("RAGDRILL_SOAK_LIMIT_S", "15"))
"""The product's bar is 5 s on a machine of its own; the tests share theirs."""


@pytest.fixture(scope="module")
def outliving(fault_stack: EmbeddedStack) -> Iterator[tuple[EmbeddedStack, Fingerprint]]:
    """A stack that outlives its faults, and what it looks like in peace."""
    url = fault_stack.endpoint("pager").url + "/test"
    httpx.post(url, json={"alerts": [], "note": "x" * 9000}, timeout=5, trust_env=False)
    yield fault_stack, fingerprint(fault_stack)


def test_every_fleeting_fault_is_one_of_the_catalogue() -> None:
    assert {slug for slug, _ in FLEETING} <= set(FAULTS)


def test_after_kill_9_nothing_of_any_fault_is_left(
    outliving: tuple[EmbeddedStack, Fingerprint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack, peace = outliving
    # What a fault logs in its history holds no orders: the lease beside the scratch does.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fault_owner"])
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    seed = random.SystemRandom().randrange(1 << 30)
    dice = random.Random(seed)
    took: list[float] = []
    struck: dict[str, int] = {}
    started: list[Any] = []

    def start(number: int) -> tuple[Any, Any, Path]:
        mine, theirs = context.Pipe()
        directory = tmp_path / f"owner-{number}"
        directory.mkdir()
        state = stack.scratch / "stack.json"
        process = context.Process(
            target=inject_forever, args=(state, directory, dice.randrange(1 << 30), theirs)
        )
        process.start()
        started.append(process)
        return process, mine, directory

    try:
        for number in range(ROUNDS):
            process, told, directory = start(number)
            assert told.poll(60), "the owner did not come up"
            pid = told.recv()
            time.sleep(dice.uniform(0, 1.5))
            os.kill(pid, signal.SIGKILL)
            killed_at = time.monotonic()
            process.join(10)
            while left := remains(stack, peace, pid):
                assert time.monotonic() - killed_at < LIMIT_S, (
                    f"seed {seed}, round {number}: {left}\n"
                    + (directory / "logs" / "watchdog.log").read_text()[-3000:]
                )
                time.sleep(0.1)
            took.append(time.monotonic() - killed_at)
            for line in lines(directory / "logs" / "watchdog.log"):
                if line["event"] == "undone":
                    slug = line["order"]["slug"]
                    struck[slug] = struck.get(slug, 0) + 1
        print(f"\n{ROUNDS} kills, longest {max(took):.2f} s until nothing was left; hit: {struck}")
        # Each second round at the least hits a fault that is on, or the rounds prove nothing.
        assert sum(struck.values()) >= ROUNDS // 3, struck
    finally:
        for process in started:
            process.kill()
            process.join(10)


def remains(stack: EmbeddedStack, peace: Fingerprint, owner: int) -> dict[str, Any]:
    """What is left of the faults of a dead owner: state, processes, leases and mounts."""
    left: dict[str, Any] = {}
    try:
        left |= difference(peace, fingerprint(stack))
        stack.ready("pager", timeout_s=0.5)
        stack.ready("metadata", timeout_s=0.5)
    except TargetError as error:
        left["not ready"] = str(error)[:200]
    if leases := list(stack.scratch.parent.glob(f"{stack.scratch.name}.lease-{owner}")):
        # os.walk goes on where a directory vanishes below it, which is what is waited for.
        left["leases"] = [[names for *_, names in os.walk(lease)] for lease in leases]
    # The watchdog and the residue process: nobody may be left that belonged to the owner.
    orphans = [
        pid
        for pid in procfs.pids()
        if procfs.is_alive(pid)
        and any(
            f"{stack.scratch.name}.lease-{owner}" in part or part == "fixtures.residue"
            for part in procfs.command(pid)
        )
        and str(stack.scratch) in " ".join(procfs.command(pid))
    ]
    if orphans:
        left["orphans"] = orphans
    if found := [each for each in mounts.mounts() if stack.scratch in each.parents]:
        left["mounts"] = found
    return left


def test_two_runs_side_by_side_never_heal_each_others_stack(
    outliving: tuple[EmbeddedStack, Fingerprint], tmp_path: Path
) -> None:
    """The second run dies and is healed, while the first one's fault stays on."""
    first, _ = outliving
    place = tmp_path / "second"
    second = EmbeddedStack.boot(f"side-{secrets.token_hex(4)}", place, place / "logs")
    context = multiprocessing.get_context("spawn")
    (tmp_path / "mine").mkdir()
    injector = Injector(first, run_of(first, tmp_path / "mine"), History(tmp_path / "mine"))
    try:
        peace = fingerprint(second)
        with injector.inject("pause", role="pager"):
            mine, theirs = context.Pipe()
            directory = tmp_path / "other"
            directory.mkdir()
            process = context.Process(
                target=inject_forever, args=(second.scratch / "stack.json", directory, 7, theirs)
            )
            process.start()
            assert mine.poll(60)
            os.kill(mine.recv(), signal.SIGKILL)
            process.join(10)
            deadline = time.monotonic() + LIMIT_S
            while left := remains(second, peace, process.pid or 0):
                assert time.monotonic() < deadline, left
                time.sleep(0.1)
            stopped = fingerprint(first)["processes"]["pager"]["stopped"]
            assert stopped >= 1, "the other run's fault is its own"
        assert fingerprint(first)["processes"]["pager"]["stopped"] == 0
    finally:
        injector.close()
        second.down()
