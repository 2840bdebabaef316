"""What the containers of a stack use, and whether each would serve."""

from __future__ import annotations

import time
from datetime import datetime

import docker.errors
import docker.models.containers
import requests

from harness.core.errors import TargetError
from harness.drivers.containers.fleet import Fleet
from harness.drivers.embedded.readiness import probe
from harness.drivers.embedded.running import RunningProcess


def processes(fleet: Fleet) -> list[RunningProcess]:
    """One row for each part that runs; memory in bytes, as the engine counts it."""
    found = []
    for part in fleet.names:
        container = fleet.container(part)
        if container is None or fleet.ended(part) is not None:
            continue
        state = container.attrs["State"]
        used = _memory(container)
        found.append(
            RunningProcess(
                name=part,
                pid=int(state["Pid"]),
                resident=used,
                proportional=used,
                uptime_s=time.time() - datetime.fromisoformat(state["StartedAt"]).timestamp(),
                problem=_problem(fleet, part),
            )
        )
    return found


def _memory(container: docker.models.containers.Container) -> int:
    try:
        told = container.client.api.stats(container.id, stream=False, one_shot=True)
    except (docker.errors.DockerException, requests.RequestException):
        return 0
    return int(told.get("memory_stats", {}).get("usage", 0))


def _problem(fleet: Fleet, part: str) -> str | None:
    try:
        return probe(fleet, part)()
    except (OSError, TargetError) as error:
        return str(error) or type(error).__name__
