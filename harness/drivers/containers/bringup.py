"""Boots a stack of containers: what each run has, in what order, and again if a port is taken."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker

from harness.core.errors import TargetError, UsageError
from harness.drivers.containers import labels
from harness.drivers.containers.engine import check_local, has_gpu
from harness.drivers.containers.fleet import Fleet
from harness.drivers.containers.images import SOURCES, Source
from harness.drivers.containers.launch import make_network
from harness.drivers.containers.logs import POSITIONS
from harness.drivers.containers.pulling import fetch
from harness.drivers.containers.recipes import PARTS, image_of, role_of
from harness.drivers.containers.removal import remove_run, sweep
from harness.drivers.containers.state import ContainerState
from harness.drivers.embedded.boot import Progress, boot
from harness.drivers.embedded.bringup import ALLOW, ROLES, check_configurable
from harness.drivers.embedded.environment import python_module, service_environment
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.links import EDGES, proxy_port_name
from harness.drivers.embedded.ports import is_free, reserve
from harness.drivers.embedded.services import new_secrets
from harness.drivers.embedded.state import Secrets

PORT_NAMES = (*PARTS, "objectstore-metrics", *(proxy_port_name(edge.name) for edge in EDGES))
SOURCE_VARIABLE = "RAGDRILL_IMAGES"
_BOOTED = ("official", "local")
_ATTEMPTS = 3
READY_S = 180.0
"""A dozen and a half containers start at once: on a busy machine the last one waits long."""


@dataclass(frozen=True)
class Options:
    """As the embedded driver's; ``source`` says which images: official or local; ``adapter`` how
    the gateway is asked, if it is one of another API.

    Raises UsageError for settings of a part that takes none, and for an unknown source.
    """

    time_scale: float = 1.0
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    name: str = "reference"
    allow: frozenset[str] = ALLOW
    source: str = field(default_factory=lambda: os.environ.get(SOURCE_VARIABLE) or "official")
    adapter: str = ""

    def __post_init__(self) -> None:
        for part in self.env:
            check_configurable(part)
        if self.source not in _BOOTED:
            raise UsageError(
                "There are no such images.",
                expected="--images " + " or ".join(_BOOTED),
                actual=self.source,
                next_step=f"{SOURCES[1]}: what `make images` builds; {SOURCES[0]}: what is pulled",
            )


def images_of(options: Options) -> Source:
    """Where the images of a boot come from."""
    return "local" if options.source == "local" else "official"


def bring_up(
    client: docker.DockerClient,
    keeper: KeeperClient,
    log_dir: Path,
    options: Options,
    progress: Progress,
    tell: Callable[[str], None],
    owner: int | None = None,
) -> dict[str, float]:
    """Boot everything and write the state; returns the seconds after which each part was ready.

    What dead runs left is removed first. ``owner`` is the process with which the stack ends, where
    that is another one. Raises TargetError when a part does not come up; what runs by then is left
    to the caller to remove.
    """
    check_local(client)
    swept = sweep(client)
    if swept:
        tell(f"ragdrill: removed what {len(swept)} dead runs had left ({', '.join(swept)})")
    source = images_of(options)
    fetch(client, (image_of(part, source) for part in PARTS), tell)
    avoid: frozenset[int] = frozenset()
    for attempt in range(1, _ATTEMPTS + 1):
        state = _new_state(client, keeper, log_dir, options, avoid)
        state.labels = labels.of_run(keeper.run_id, owner)
        secrets = Secrets(new_secrets(), {name: dict(given) for name, given in options.env.items()})
        fleet = Fleet(client, keeper, state, secrets)
        seconds: dict[str, float] = {}
        try:
            lay_out(fleet)
            boot(fleet, _recording(progress, seconds), READY_S)
        except TargetError:
            keep_last_words(fleet)
            remove_run(client, keeper.run_id)
            taken = frozenset(port for port in state.ports.values() if not is_free(port))
            if not taken or attempt == _ATTEMPTS:
                raise
            avoid |= taken
        else:
            secrets.save(keeper.scratch)
            state.save()
            return seconds
    raise AssertionError("the last attempt returns or raises")


def lay_out(fleet: Fleet) -> None:
    """Make the run's network and volumes, and have what its containers say followed."""
    fleet.state.subnet = make_network(fleet.network, fleet.state.labels)
    for part in PARTS:
        if fleet.book.images[part].data:
            place = fleet.make_volume(part)
            # Root's alone on most machines; then nobody else looks into them.
            if os.access(place, os.R_OK | os.W_OK | os.X_OK):
                fleet.state.volumes[role_of(part)] = str(place)
    follow_logs(fleet)


def follow_logs(fleet: Fleet) -> None:
    """Have what the run's containers say written into its log files, from their first line on."""
    keeper, scratch = fleet.keeper, fleet.scratch
    positions = scratch / POSITIONS
    positions.mkdir(mode=0o700, exist_ok=True)
    if keeper.is_running("logs-follower"):
        return
    keeper.start(
        "logs-follower",
        python_module(
            "harness.drivers.containers.logs",
            *(keeper.run_id, fleet.state.log_dir, str(positions)),
        ),
        env=service_environment(scratch, _engine_settings()),
        cwd=scratch,
        log=scratch / "logs-follower.log",
    )


def keep_last_words(fleet: Fleet) -> None:
    """See that what the containers of a failed boot said is in the log files before they go."""
    for part in PARTS:
        container = fleet.container(part)
        if container is not None:
            fleet.await_log(container, 2.0)


def _engine_settings() -> dict[str, str]:
    """What names the engine, for a process whose environment is made from scratch."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("DOCKER_", "TESTCONTAINERS_"))
    }


def _new_state(
    client: docker.DockerClient,
    keeper: KeeperClient,
    log_dir: Path,
    options: Options,
    avoid: frozenset[int],
) -> ContainerState:
    source = images_of(options)
    return ContainerState(
        run_id=keeper.run_id,
        scratch=str(keeper.scratch),
        log_dir=str(log_dir),
        ports=reserve(PORT_NAMES, keeper.scratch, avoid),
        time_scale=options.time_scale,
        roles=list(ROLES),
        real_toxiproxy=not image_of("faultproxy", source).stand_in,
        booted_at=time.time(),
        name=options.name,
        allow=sorted(options.allow),
        source=source,
        gpu=has_gpu(client),
        adapter=options.adapter,
    )


def _recording(progress: Progress, seconds: dict[str, float]) -> Progress:
    def record(role: str, state: str, after: float) -> None:
        if state == "ready":
            seconds[role] = round(after, 3)
        progress(role, state, after)

    return record
