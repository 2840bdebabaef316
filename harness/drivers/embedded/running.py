"""Which embedded stacks are up on this machine, and what their processes use."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import TargetError, UsageError
from harness.drivers.embedded import procfs
from harness.drivers.embedded.bringup import ROLES
from harness.drivers.embedded.keeper_client import KeeperClient, KeeperError
from harness.drivers.embedded.readiness import probe
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.embedded.state import STATE_NAME

# Names of processes in the order in which people look for them.
_ORDER = ("gateway-blue", "gateway-green", *ROLES)


@dataclass(frozen=True)
class RunningProcess:
    """One process of a stack with everything below it; memory in bytes, uptime in seconds."""

    name: str
    pid: int
    resident: int
    proportional: int
    uptime_s: float
    problem: str | None


def running(scratch_root: Path, *, detached_only: bool = True) -> list[EmbeddedStack]:
    """The booted stacks below ``scratch_root``; by default only those of ``ragdrill up``."""
    found = []
    for state_file in sorted(scratch_root.glob(f"*/{STATE_NAME}")):
        try:
            stack = EmbeddedStack.attach(state_file)
            detached = stack.keeper.call("status")["detached"]
        except TargetError:
            continue
        if detached or not detached_only:
            found.append(stack)
    return found


def the_one(scratch_root: Path, run_id: str | None = None) -> EmbeddedStack:
    """The stack that is up, or the one named.

    Raises TargetError when there is none, UsageError when it is not clear which is meant.
    """
    stacks = running(scratch_root, detached_only=run_id is None)
    if run_id is not None:
        stacks = [stack for stack in stacks if stack.run_id == run_id]
    if not stacks:
        raise TargetError(
            "No stack is up." if run_id is None else f"No stack {run_id!r} is up.",
            expected=f"one below {scratch_root}",
            actual="none",
            next_step="ragdrill up",
        )
    if len(stacks) > 1:
        raise UsageError(
            "Several stacks are up.",
            expected="--run with one of their ids",
            actual=", ".join(stack.run_id for stack in stacks),
        )
    return stacks[0]


def processes(stack: EmbeddedStack) -> list[RunningProcess]:
    """Every process that runs, the roles' first, with the reason where one is not ready."""
    keeper: KeeperClient = stack.keeper
    described = {name: item for name, item in keeper.services().items() if item["running"]}
    found = []
    for name in sorted(described, key=lambda name: (name not in _ORDER, _place(name), name)):
        sizes = [procfs.memory(pid) for pid in keeper.tree(name)]
        found.append(
            RunningProcess(
                name=name,
                pid=described[name]["pid"],
                resident=sum(size[0] for size in sizes),
                proportional=sum(size[1] for size in sizes),
                uptime_s=time.time() - described[name]["started_at"],
                problem=_problem(stack, name) if name in _ORDER else None,
            )
        )
    return found


def stopped(stack: EmbeddedStack) -> list[str]:
    """The roles whose process does not run."""
    up = {name for name, item in stack.keeper.services().items() if item["running"]}
    up |= {"gateway"} if f"gateway-{stack.state.colour}" in up else set()
    return [role for role in stack.roles() if role not in up]


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else 0


def _problem(stack: EmbeddedStack, name: str) -> str | None:
    try:
        return probe(stack.processes, name)()
    except (OSError, KeeperError) as error:
        return str(error) or type(error).__name__
