"""Brings a run's project up: checks, links, the fault proxy, then the operator's services."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import docker
import docker.errors

from harness.core.errors import TargetError
from harness.core.target import TargetFile
from harness.drivers.compose import addresses, links, mapping, override, windows
from harness.drivers.compose import secrets as project_secrets
from harness.drivers.compose.cli import ComposeError, require_compose, resolved
from harness.drivers.compose.fleet import ComposeFleet
from harness.drivers.compose.state import (
    ENVIRONMENT,
    FAULTPROXY,
    ComposeState,
    project_environment,
)
from harness.drivers.containers import labels
from harness.drivers.containers.bringup import SOURCE_VARIABLE, follow_logs
from harness.drivers.containers.engine import EngineError, check_local, has_gpu
from harness.drivers.containers.images import OVERRIDE, image, roles
from harness.drivers.containers.pulling import fetch
from harness.drivers.containers.removal import remove_run, sweep
from harness.drivers.embedded.bringup import ALLOW
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.links import proxy_port_name
from harness.drivers.embedded.ports import is_free, reserve
from harness.drivers.embedded.readiness import wait_ready
from harness.drivers.embedded.state import Secrets

READY_S = 180.0
_ATTEMPTS = 3
_TAKEN = re.compile(r"port is already allocated|address already in use|ports are not available")
_OVERLAP = re.compile(r"[Pp]ool overlaps|networks have overlapping")


def bring_up(
    client: docker.DockerClient,
    keeper: KeeperClient,
    log_dir: str,
    target: TargetFile,
    tell: Callable[[str], None],
    time_scale: float = 1.0,
    owner: int | None = None,
) -> dict[str, float]:
    """Bring everything up and write the state; returns the seconds after which each part was ready.

    What dead runs left is removed first. ``owner`` is the process with which the stack ends, where
    that is another one. Raises TargetError when a service does not come up; what runs by then is
    left to the caller to remove.
    """
    assert target.compose is not None
    require_compose()
    check_local(client)
    swept = sweep(client)
    if swept:
        tell(f"ragdrill: removed what {len(swept)} dead runs had left ({', '.join(swept)})")
    project = project_name(keeper.run_id)
    source = os.environ.get(SOURCE_VARIABLE) or "official"
    values = project_secrets.make(target) | (local_images() if source == "local" else {})
    environment = {**os.environ, **project_environment(values)}
    config = resolved(target.compose, project, environment)
    mapping.check(target, config)
    services = mapping.services(target)
    found = links.find(services, config, target.compose.keep)
    tell(f"ragdrill: links {', '.join(edge.name for edge in found.edges)}")
    if found.unled:
        tell(
            f"ragdrill: {', '.join(found.unled)} names a service and not its port (service:port, "
            "or ..._PORT beside ..._HOST): no link there, so no fault between the two"
        )
    for part, each in services.items():
        wanted = mapping.copies(config["services"][each["service"]])
        if wanted > 1:
            tell(f"ragdrill: {part} is one container in a run, not {wanted}")
    names = [*services, "faultproxy", *(proxy_port_name(edge.name) for edge in found.edges)]
    avoid: frozenset[int] = frozenset()
    for attempt in range(1, _ATTEMPTS + 1):
        state = ComposeState(
            run_id=keeper.run_id,
            scratch=str(keeper.scratch),
            log_dir=log_dir,
            ports=reserve(names, keeper.scratch, avoid),
            time_scale=time_scale,
            roles=[*target.roles, "faultproxy"],
            booted_at=time.time(),
            name=target.target.name,
            allow=sorted(ALLOW if target.target.allow is None else target.target.allow),
            source=source,
            labels=labels.of_run(keeper.run_id, owner),
            gpu=has_gpu(client),
            project=project,
            target=target.model_dump(mode="json"),
            services=services,
            edges=[asdict(edge) for edge in found.edges],
            adapter=target.gateway_api.spec,
        )
        given = _addresses(client, state, config)
        if given.short and attempt == 1:
            tell(f"ragdrill: {', '.join(given.short)}: too few addresses for one for each service")
        short = windows.shortened(state, config)
        if short.unseen and attempt == 1:
            tell(
                f"ragdrill: the files of {', '.join(short.unseen)} are not mounted from this "
                "machine: their windows stay as they are; pass --time-scale 1"
            )
        override.write(keeper.scratch, override.base(state, config, found, given, short))
        fleet = ComposeFleet(client, keeper, state, Secrets(values))
        try:
            seconds = _start(fleet, tell)
        except ComposeError as error:
            remove_run(client, keeper.run_id)
            taken = frozenset(port for port in state.ports.values() if not is_free(port))
            overlap = _OVERLAP.search(str(error))
            if attempt == _ATTEMPTS or not (overlap or (taken and _TAKEN.search(str(error)))):
                if overlap and addresses.fixed(config):
                    raise _in_use(error, config) from error
                raise
            avoid |= taken
        else:
            fleet.secrets.save(keeper.scratch)
            state.save()
            return seconds
    raise AssertionError("the last attempt returns or raises")


def _addresses(
    client: docker.DockerClient, state: ComposeState, config: Mapping[str, Any]
) -> addresses.Addresses:
    """An address for each service in every network; ranges are those that are free now."""
    unsaid = addresses.unsaid(config)
    try:
        ranges = addresses.free_ranges(
            client, [f"{state.project}_{name}" for name in unsaid], state.labels
        )
    except docker.errors.APIError as error:
        raise EngineError(
            "The engine has no addresses for another network.",
            actual=error.explanation or str(error),
            next_step="docker network prune, or more of default-address-pools in daemon.json",
        ) from error
    mapped = [str(each["service"]) for each in state.services.values()]
    joined = {FAULTPROXY: override.faultproxy_networks(config, mapped)}
    return addresses.plan(config, dict(zip(unsaid, ranges, strict=True)), mapped, joined)


def _in_use(error: ComposeError, config: Mapping[str, Any]) -> ComposeError:
    """What to do where a range that the operator fixed is somebody else's at the time."""
    told = (f"{name}: {', '.join(each)}" for name, each in addresses.fixed(config).items())
    return ComposeError(
        "A range of addresses that the project fixes is in use.",
        expected=f"nobody else in the ranges of its networks ({'; '.join(told)})",
        actual=error.actual,
        next_step="end what uses it (your own running project, or another run), or add a file to "
        "[compose] files that gives the network another range",
    )


def local_images() -> dict[str, str]:
    """What RAGDRILL_IMAGE_<ROLE> is set to for a project that takes its images from there."""
    return {
        ENVIRONMENT + OVERRIDE + role.upper(): image(role, "local", {}).reference
        for role in roles("local")
        if OVERRIDE + role.upper() not in os.environ
    }


def project_name(run_id: str) -> str:
    """The run's own name for the project: lower case, as Compose demands."""
    return "ragdrill-" + re.sub(r"[^a-z0-9_-]", "-", run_id.lower())


def _start(fleet: ComposeFleet, tell: Callable[[str], None]) -> dict[str, float]:
    """Start the fault proxy, then all; returns when each role would serve."""
    begun, seconds = time.monotonic(), {}

    def ready(part: str) -> None:
        wait_ready(fleet, part, READY_S)
        seconds[part] = round(time.monotonic() - begun, 3)
        tell(f"  {part}: ready in {seconds[part]:.1f} s")

    fetch(fleet.client, [override.faultproxy_image(fleet.state)], tell)
    follow_logs(fleet)
    fleet.compose("up", "-d", FAULTPROXY)
    ready("faultproxy")
    fleet.connect()
    tell("ragdrill: docker compose up ...")
    try:
        fleet.compose("up", "-d")
        for role in fleet.state.roles:
            if role != "faultproxy":
                ready(mapping.BLUE if role == "gateway" else role)
    except TargetError as error:
        ill = fleet.unhealthy()
        if not ill:
            raise
        raise type(error)(
            error.what,
            expected="every service of the project up and healthy",
            actual="\n  ".join([str(error), *ill]),
            next_step=f"read {fleet.state.log_dir}",
        ) from error
    return seconds
