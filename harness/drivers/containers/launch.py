"""Starts one container by testcontainers, in the run's network and with the run's labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.types import DeviceRequest, LogConfig
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from harness.drivers.containers import labels
from harness.drivers.containers.recipes import Recipe
from harness.drivers.embedded.ports import HOST

# The follower has read what is older; an engine's disk is not filled by a flood of lines.
_LOG = LogConfig(type="json-file", config={"max-size": "64m", "max-file": "2"})


def make_network(name: str, given: Mapping[str, str]) -> None:
    """Make the run's own network; docker.errors.APIError where that can't be done."""
    network = Network(docker_network_kw={"labels": dict(given), "check_duplicate": True})
    network.name = name
    network.create()


def launch(name: str, network: str, recipe: Recipe, given: Mapping[str, str]) -> None:
    """Create and start a container; returns as soon as it runs, ready or not.

    Raises:
        docker.errors.DockerException: the engine refused.
    """
    joined = Network()
    joined.name = network
    container = DockerContainer(recipe.image.reference, name=name)
    container.env = dict(recipe.env)
    if recipe.command:
        container.with_command(list(recipe.command))
    container.with_network(joined).with_network_aliases(recipe.part)
    for source, target, mode in recipe.mounts:
        container.with_volume_mapping(source, target, mode)
    # On the loopback interface alone: testcontainers' own way publishes on every address.
    published: Any = {f"{inner}/tcp": (HOST, outer) for inner, outer in recipe.published.items()}
    container.ports = published
    more: dict[str, Any] = {
        "labels": {**given, labels.PART: recipe.part, labels.SETTINGS: recipe.digest},
        "hostname": recipe.part,
        "stop_signal": recipe.stop_signal,
        "log_config": _LOG,
        # Readiness is asked for from outside; a probe every few seconds in each of a dozen and a
        # half containers would only take the processors.
        "healthcheck": {"test": ["NONE"]},
        "security_opt": ["no-new-privileges:true"],
    }
    if recipe.user:
        more["user"] = recipe.user
    if recipe.image.source == "local":
        more["cap_drop"] = ["ALL"]
    if recipe.gpu:
        more["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    container.with_kwargs(**more)
    container.start()
