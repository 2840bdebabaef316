"""Which booted stacks are up on this machine, whatever they are made of, and what they use."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import HarnessError, TargetError, UsageError
from harness.drivers.control import driver_of
from harness.drivers.embedded import running as embedded
from harness.drivers.embedded.running import RunningProcess
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.embedded.state import STATE_NAME
from harness.drivers.reference import ReferenceStack
from harness.drivers.registry import driver


def running(scratch_root: Path, *, detached_only: bool = True) -> list[ReferenceStack]:
    """The booted stacks below ``scratch_root``; by default only those of ``ragdrill up``.

    One whose engine does not answer is none.
    """
    found: list[ReferenceStack] = []
    for state_file in sorted(scratch_root.glob(f"*/{STATE_NAME}")):
        try:
            name = driver_of(state_file)
            if name == "attach":
                # Somebody else's stack, which a run only looked at.
                continue
            stack: ReferenceStack = driver(name).attach(state_file)
            detached = stack.keeper.call("status")["detached"]
        except HarnessError:
            continue
        if detached or not detached_only:
            found.append(stack)
    return found


def the_one(scratch_root: Path, run_id: str | None = None) -> ReferenceStack:
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


def processes(stack: ReferenceStack) -> list[RunningProcess]:
    """Every part that runs, with the reason where one is not ready."""
    if isinstance(stack, EmbeddedStack):
        return embedded.processes(stack)
    from harness.drivers.containers.running import processes as in_containers
    from harness.drivers.containers.stack import ContainerStack

    assert isinstance(stack, ContainerStack)
    return in_containers(stack.fleet)


def stopped(stack: ReferenceStack) -> list[str]:
    """The roles of which nothing runs."""
    state, parts = stack.state, stack.parts
    names = {role: f"gateway-{state.colour}" if role == "gateway" else role for role in state.roles}
    return [role for role, name in names.items() if not parts.is_running(name)]
