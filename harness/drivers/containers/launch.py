"""Starts one container by testcontainers, in the run's network and with the run's labels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import docker.errors
from docker.types import DeviceRequest, IPAMConfig, IPAMPool, LogConfig
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from harness.drivers.containers import labels
from harness.drivers.containers.recipes import Recipe
from harness.drivers.embedded.ports import HOST

# The follower has read what is older; an engine's disk is not filled by a flood of lines.
_LOG = LogConfig(type="json-file", config={"max-size": "64m", "max-file": "2"})
_ATTEMPTS = 5
_AGAIN_S = 0.2


def make_network(name: str, given: Mapping[str, str]) -> str:
    """Make the run's own network; returns its range of addresses, as ``172.18.0.0/16``.

    An engine gives out addresses of one's own choice only in a range that was asked for, and knows
    best which one is free. Hence it is asked to choose, and then for what it chose.

    Raises:
        docker.errors.APIError: it can't be made.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        chosen = _network(name, given, None)
        given_out = [str(each["Subnet"]) for each in chosen.attrs["IPAM"]["Config"]]
        subnet = next(each for each in given_out if ":" not in each)
        chosen.remove()
        try:
            _network(name, given, IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]))
            return subnet
        except docker.errors.APIError as error:
            # Another run may have taken it in between.
            if attempt == _ATTEMPTS or "overlap" not in str(error):
                raise
            time.sleep(_AGAIN_S)
    raise AssertionError("the last attempt returns or raises")


def _network(name: str, given: Mapping[str, str], addresses: IPAMConfig | None) -> Any:
    settings = {"labels": dict(given), "check_duplicate": True, "ipam": addresses}
    network = Network(docker_network_kw=settings)
    network.name = name
    found = network.create()._unwrap_network
    found.reload()
    return found


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
    if recipe.address:
        api = container.get_docker_client().client.api
        more["networking_config"] = {
            network: api.create_endpoint_config(aliases=[recipe.part], ipv4_address=recipe.address)
        }
    if recipe.user:
        more["user"] = recipe.user
    if recipe.image.source == "local":
        more["cap_drop"] = ["ALL"]
    if recipe.gpu:
        more["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    container.with_kwargs(**more)
    container.start()
