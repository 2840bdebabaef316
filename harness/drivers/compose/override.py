"""The file that a run lays over the operator's project: nothing of theirs is edited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.drivers.compose.addresses import Addresses
from harness.drivers.compose.addresses import networks as networks_of
from harness.drivers.compose.links import Found, filled
from harness.drivers.compose.mapping import copies
from harness.drivers.compose.state import FAULTPROXY, ComposeState
from harness.drivers.compose.windows import Windows
from harness.drivers.containers import labels
from harness.drivers.containers.images import Image, roles
from harness.drivers.containers.images import image as image_of
from harness.drivers.embedded.links import proxy_port_name
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.state import write_private

NAME = "compose.override.yaml"
"""In the run's scratch directory, with mode 0600: addresses hold passwords."""
_BASE = "compose.override.json"
_GPU = {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


class _Instead(list[Any]):
    """Replaces the operator's list; without this Compose would append to it."""


class _Nothing:
    """Takes the operator's value away."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Instead, lambda dumper, data: dumper.represent_sequence("!override", list(data))
)
_Dumper.add_representer(_Nothing, lambda dumper, _data: dumper.represent_scalar("!reset", "null"))


def base(
    state: ComposeState,
    config: Mapping[str, Any],
    found: Found,
    given: Addresses,
    windows: Windows,
) -> dict[str, Any]:
    """What a run changes of the project, but for settings that change while it lasts."""
    parts = {str(each["service"]): part for part, each in state.services.items()}
    services: dict[str, Any] = {
        name: _service(state, name, parts.get(name), entry, found)
        for name, entry in config["services"].items()
    }
    services[FAULTPROXY] = _faultproxy(state, config, parts)
    networks = _own(state, config.get("networks") or {"default": None})
    for name, its in given.ranges.items():
        networks[name]["ipam"] = its.ipam()
    for name, addresses in given.of_service.items():
        joined = services[name].setdefault("networks", {})
        for network, address in addresses.items():
            joined[network] = {"ipv4_address": address}
    for name, mounts in windows.volumes.items():
        services[name]["volumes"] = mounts
    for name, settings in windows.environment.items():
        services[name].setdefault("environment", {}).update(settings)
    return {
        "services": services,
        "networks": networks,
        "volumes": _own(state, config.get("volumes") or {}),
    }


def faultproxy_networks(config: Mapping[str, Any], parts: Iterable[str]) -> tuple[str, ...]:
    """The networks of the fault proxy: all those of the services that it stands between."""
    return tuple(sorted({network for name in parts for network in networks_of(config, name)}))


def _service(
    state: ComposeState,
    name: str,
    part: str | None,
    entry: Mapping[str, Any],
    found: Found,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "labels": {**state.labels, labels.PART: part or name},
        # What is killed stays down until the run starts it again.
        "restart": "no",
    }
    if entry.get("container_name"):
        made["container_name"] = None
    if part is not None:
        made["ports"] = [_published(state.ports[part], int(state.services[part]["port"]))]
    elif entry.get("ports"):
        made["ports"] = []
    if part is not None and copies(entry) > 1:
        # A role is one container: who kills it must leave nobody serving.
        made |= {"scale": 1} if entry.get("scale") else {"deploy": {"replicas": 1}}
    settings = found.settings.get(name)
    if settings:
        made["environment"] = {key: filled(text, state) for key, text in settings.items()}
    if part is not None and state.gpu and _wants_gpu(part):
        made.setdefault("deploy", {})["resources"] = {"reservations": {"devices": [_GPU]}}
    return made


def _wants_gpu(part: str) -> bool:
    return part in roles("local") and image_of(part, "local").gpu


def _published(outer: int, inner: int) -> str:
    return f"{HOST}:{outer}:{inner}"


def _faultproxy(
    state: ComposeState, config: Mapping[str, Any], parts: Mapping[str, str]
) -> dict[str, Any]:
    image = faultproxy_image(state)
    ports = [_published(state.ports["faultproxy"], image.port)]
    for edge in state.edges:
        port = state.ports[proxy_port_name(str(edge["name"]))]
        ports.append(_published(port, port))
    made: dict[str, Any] = {
        "image": image.reference,
        "labels": {**state.labels, labels.PART: "faultproxy"},
        "restart": "no",
        "networks": dict.fromkeys(faultproxy_networks(config, parts)),
        "ports": ports,
        "healthcheck": {"disable": True},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    if image.command:
        made["command"] = list(image.command)
    return made


def faultproxy_image(state: ComposeState) -> Image:
    """The fault proxy's image: from where the run's own images come."""
    return image_of("faultproxy", "local" if state.source == "local" else "official")


def _own(state: ComposeState, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Under a name and labels of the run's own, also where the operator gave a fixed name."""
    return {
        key: {"name": f"{state.project}_{key}", "labels": dict(state.labels)} for key in entries
    }


def write(scratch: Path, laid_over: Mapping[str, Any]) -> None:
    """Keep what a run changes, for every process of it."""
    write_private(scratch / _BASE, json.dumps(laid_over))
    render(scratch, {})


def digest(settings: Mapping[str, str]) -> str:
    """Two containers of a service with the same one were given the same changed settings."""
    return hashlib.sha256(json.dumps(sorted(settings.items())).encode()).hexdigest()[:24]


def render(scratch: Path, overrides: Mapping[str, Mapping[str, str]]) -> Path:
    """Write the override file with these settings, by service, on top; returns where it is."""
    laid_over = json.loads((scratch / _BASE).read_text())
    for name, settings in overrides.items():
        entry = laid_over["services"][name]
        entry["environment"] = {**entry.get("environment", {}), **settings}
    for name, entry in laid_over["services"].items():
        entry["labels"][labels.SETTINGS] = digest(overrides.get(name, {}))
    for entry in laid_over["services"].values():
        # A value of the file itself, never one that Compose is to look up.
        for key, text in entry.get("environment", {}).items():
            entry["environment"][key] = text.replace("$", "$$")
        if "container_name" in entry:
            entry["container_name"] = _Nothing()
        if "ports" in entry:
            entry["ports"] = _Instead(entry["ports"])
    path = scratch / NAME
    write_private(path, yaml.dump(laid_over, Dumper=_Dumper, sort_keys=False))
    return path
