"""Brings a whole stack up under a keeper, again with other ports if somebody took one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import TargetError, UsageError
from harness.drivers.embedded import procfs
from harness.drivers.embedded.boot import Progress, boot
from harness.drivers.embedded.keeper import remove_leftovers
from harness.drivers.embedded.keeper_client import KeeperClient, KeeperError
from harness.drivers.embedded.places import SETUP, system_bin, toxiproxy_bin
from harness.drivers.embedded.ports import is_free, reserve
from harness.drivers.embedded.processes import PORT_NAMES, Processes
from harness.drivers.embedded.services import OURS, new_secrets
from harness.drivers.embedded.state import Secrets, State

ROLES = (
    *("gateway", "embed", "fallback", "rerank", "auth", "vectordb", "metadata", "objectstore"),
    *("edge", "metrics", "alerts", "pager", "faultproxy", "exporter", "logs", "logship", "gpu"),
)
ALLOW = frozenset({"read", "write", "restart", "fault", "destroy"})
# Role: the program without which it is left out.
_OPTIONAL = {"metrics": "prometheus", "alerts": "alertmanager"}
_ATTEMPTS = 3


@dataclass(frozen=True)
class BootOptions:
    """``time_scale`` divides alert windows; ``env`` changes settings by process name.

    ``name`` and ``allow`` are the target's, as its file gives them. Raises UsageError for settings
    of a process that takes none.
    """

    time_scale: float = 1.0
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    name: str = "reference"
    allow: frozenset[str] = ALLOW

    def __post_init__(self) -> None:
        for process in self.env:
            check_configurable(process)


def check_configurable(process: str) -> None:
    """Raise UsageError for a process whose settings are not in its environment."""
    if process not in OURS:
        raise UsageError(
            f"{process} takes no settings from its environment.",
            expected="one of " + ", ".join(OURS),
            actual=process,
        )


def silent(role: str, state: str, seconds: float) -> None:
    """The progress of a boot that nobody watches."""


def make_directories(scratch: Path, log_dir: Path) -> None:
    """Make what the keeper, who makes the scratch directory itself, needs beforehand.

    Raises TargetError where that cannot be done.
    """
    try:
        scratch.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            "The run's directories cannot be made.",
            expected=f"room and permission to write in {scratch.parent} and {log_dir}",
            actual=str(error),
            next_step="make room, or set TMPDIR to another directory",
        ) from error


def bring_up(
    keeper: KeeperClient,
    scratch: Path,
    log_dir: Path,
    options: BootOptions,
    progress: Progress,
) -> dict[str, float]:
    """Boot everything and write the state; returns the seconds after which each part was ready.

    What an interrupted boot left under this keeper is ended first. Raises TargetError when a part
    does not come up; what runs by then is left to the caller to end.
    """
    avoid: frozenset[int] = frozenset()
    for attempt in range(1, _ATTEMPTS + 1):
        end_all(keeper)
        for role in ROLES:
            procfs.remove_tree(str(scratch / role))
        state = _new_state(keeper, scratch, log_dir, options, avoid)
        secrets = Secrets(new_secrets(), {name: dict(given) for name, given in options.env.items()})
        seconds: dict[str, float] = {}
        try:
            boot(Processes(keeper, state, secrets), _recording(progress, seconds))
        except TargetError:
            end_all(keeper)
            taken = frozenset(port for port in state.ports.values() if not is_free(port))
            if not taken or attempt == _ATTEMPTS:
                raise
            avoid |= taken
        else:
            secrets.save(scratch)
            state.save()
            return seconds
    raise AssertionError("the last attempt returns or raises")


def _new_state(
    keeper: KeeperClient,
    scratch: Path,
    log_dir: Path,
    options: BootOptions,
    avoid: frozenset[int],
) -> State:
    absent = {
        role: f"{program} is not installed; run `{SETUP}`"
        for role, program in _OPTIONAL.items()
        if system_bin(program) is None
    }
    return State(
        run_id=keeper.run_id,
        scratch=str(scratch),
        log_dir=str(log_dir),
        ports=reserve(PORT_NAMES, scratch, avoid),
        time_scale=options.time_scale,
        roles=[role for role in ROLES if role not in absent],
        absent=absent,
        real_toxiproxy=toxiproxy_bin() is not None,
        booted_at=time.time(),
        name=options.name,
        allow=sorted(options.allow),
    )


def _recording(progress: Progress, seconds: dict[str, float]) -> Progress:
    def record(role: str, state: str, after: float) -> None:
        if state == "ready":
            seconds[role] = round(after, 3)
        progress(role, state, after)

    return record


def lines(tell: Callable[[str], None]) -> Progress:
    """A progress that tells one line for each part that got ready."""

    def report(role: str, state: str, after: float) -> None:
        if state == "ready":
            tell(f"  {role}: ready in {after:.1f} s")

    return report


def end_all(keeper: KeeperClient) -> None:
    """Kill every process under the keeper; it stays, ready for another boot."""
    for name, described in keeper.services().items():
        if described["running"]:
            with contextlib.suppress(KeeperError):
                keeper.kill(name)
    remove_leftovers(str(keeper.scratch))
