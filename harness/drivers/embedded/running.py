"""What the processes of an embedded stack use, and whether each would serve."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.drivers.embedded import procfs
from harness.drivers.embedded.bringup import ROLES
from harness.drivers.embedded.keeper_client import KeeperClient, KeeperError
from harness.drivers.embedded.readiness import probe
from harness.drivers.embedded.stack import EmbeddedStack

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


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else 0


def _problem(stack: EmbeddedStack, name: str) -> str | None:
    try:
        return probe(stack.processes, name)()
    except (OSError, KeeperError) as error:
        return str(error) or type(error).__name__
