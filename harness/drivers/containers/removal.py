"""Removes what runs made: one run's, or that of every run whose owner is dead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import docker
import docker.errors
import requests

from harness.drivers.containers import labels

LIMIT_S = 60.0
_STUCK_S = 5.0
"""Docker 20.10 may keep a network for good ("has active endpoints") that no container is in."""
_QUIET_LOOKS = 3
_LOOK_S = 0.15
_AT_ONCE = 8


@dataclass
class Left:
    """Names of what there is of a run, by kind; false when there is nothing."""

    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks or self.volumes)

    def words(self) -> list[str]:
        """One phrase for each thing that is left."""
        kinds = {
            "container": self.containers,
            "network": self.networks,
            "volume": self.volumes,
        }
        return [f"{kind} {name}" for kind, names in kinds.items() for name in names]


def find(client: docker.DockerClient, run_id: str) -> Left:
    """What there is of a run: ids of containers and networks, names of volumes."""
    chosen = {"label": f"{labels.RUN}={run_id}"}
    api = client.api
    return Left(
        [each["Id"] for each in api.containers(all=True, filters=chosen)],
        [each["Id"] for each in api.networks(filters=chosen)],
        [each["Name"] for each in api.volumes(filters=chosen)["Volumes"] or []],
    )


def remove_run(
    client: docker.DockerClient,
    run_id: str,
    limit_s: float = LIMIT_S,
    *,
    stuck_s: float = LIMIT_S,
) -> Left:
    """Remove everything of a run; returns what could not be removed.

    What a run that was killed had asked for may still come: nothing counts as gone before it has
    been looked for in vain a few times. Ends after `limit_s` seconds, or when for `stuck_s` seconds
    the same things would not go.
    """
    deadline = time.monotonic() + limit_s
    quiet = 0
    seen, changed = Left(), time.monotonic()
    while True:
        left = find(client, run_id)
        if left != seen:
            seen, changed = left, time.monotonic()
        quiet = 0 if left else quiet + 1
        now = time.monotonic()
        if quiet >= _QUIET_LOOKS or now > deadline or now - changed > stuck_s:
            return left
        if left:
            _remove(client, left)
        else:
            time.sleep(_LOOK_S)


def _remove(client: docker.DockerClient, left: Left) -> None:
    api = client.api

    def container(name: str) -> None:
        api.remove_container(name, force=True, v=True)

    # Neither networks nor volumes go while a container uses them.
    for remove, names in (
        (container, left.containers),
        (api.remove_network, left.networks),
        (lambda name: api.remove_volume(name, force=True), left.volumes),
    ):
        _each(remove, names)


def _each(remove: Callable[[str], object], names: list[str]) -> None:
    def one(name: str) -> None:
        # Somebody else may be removing it too, or an endpoint still be going: it is looked again.
        with contextlib.suppress(docker.errors.APIError, requests.RequestException):
            remove(name)

    if names:
        with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as pool:
            list(pool.map(one, names))


def sweep(client: docker.DockerClient) -> tuple[str, ...]:
    """Remove what runs left whose owner is dead; returns their ids. Living ones are not touched."""
    dead = sorted({run for run, dead in _runs(client) if dead} - _living(client))
    for run_id in dead:
        # What will not go now is tried again by the next boot, which must not wait for it.
        remove_run(client, run_id, stuck_s=_STUCK_S)
    return tuple(dead)


def _living(client: docker.DockerClient) -> set[str]:
    return {run for run, dead in _runs(client) if not dead}


def _runs(client: docker.DockerClient) -> Iterator[tuple[str, bool]]:
    chosen = {"label": labels.RUN}
    api = client.api
    for found in (
        api.containers(all=True, filters=chosen),
        api.networks(filters=chosen),
        api.volumes(filters=chosen)["Volumes"] or [],
    ):
        for each in found:
            given = each.get("Labels") or {}
            yield given.get(labels.RUN, ""), labels.is_dead(given)
