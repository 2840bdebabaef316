"""One address for each service of a run's project, its own whether it is down or up.

An engine gives the address of a killed container to what starts next, and whoever was still
connecting to the first would then reach the second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from typing import Any

import docker

from harness.drivers.compose.mapping import copies


@dataclass(frozen=True)
class Range:
    """The addresses of a network: ``own`` ones a run chose, others are as the operator wrote them.

    ``kept`` may not be given to a service: they are another's, or for the engine to give.
    """

    subnet: IPv4Network
    own: bool = True
    kept: frozenset[IPv4Address] = frozenset()
    given_out: IPv4Network | None = None

    def addresses(self) -> Iterator[str]:
        """Those that services can have, in a run's range from below, in the operator's from above.

        The engine's own, the first of all, is never among them.
        """
        first, last = int(self.subnet.network_address) + 2, int(self.subnet.broadcast_address) - 1
        numbers = range(first, last + 1) if self.own else range(last, first - 1, -1)
        for number in numbers:
            address = IPv4Address(number)
            if address in self.kept or (self.given_out and address in self.given_out):
                continue
            yield str(address)

    def ipam(self) -> dict[str, Any]:
        """How a network of a run's own range is asked for."""
        told = {"subnet": str(self.subnet), "gateway": str(self.subnet.network_address + 1)}
        if self.given_out is not None:
            told["ip_range"] = str(self.given_out)
        return {"config": [told]}


@dataclass(frozen=True)
class Addresses:
    """The ranges that a run chose, by network, and each service's address by network.

    ``short`` are the networks whose range has not enough of them for every service.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    of_service: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    short: tuple[str, ...] = ()


def networks(config: Mapping[str, Any], service: str) -> dict[str, Mapping[str, Any]]:
    """The networks that a service joins, each with what the operator says of it there."""
    entry = config["services"][service]
    if entry.get("network_mode"):
        return {}
    joined = entry.get("networks") or {"default": None}
    return {name: given or {} for name, given in joined.items()}


def unsaid(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The networks whose addresses the operator leaves to the engine, so that a run may choose."""
    return tuple(
        name
        for name, entry in (config.get("networks") or {"default": None}).items()
        if _is_a_bridge(entry or {}) and not _said(entry or {})
    )


def fixed(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """The ranges that the operator fixed, by network; no two projects can have them at once."""
    return {
        name: [str(each["subnet"]) for each in said if each.get("subnet")]
        for name, entry in (config.get("networks") or {}).items()
        if (said := _said(entry or {}))
    }


def _is_a_bridge(entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("driver") in (None, "", "bridge")
        and (entry.get("ipam") or {}).get("driver") in (None, "", "default")
        and entry.get("enable_ipv4") is not False
    )


def _said(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((entry.get("ipam") or {}).get("config") or [])


def free_ranges(
    client: docker.DockerClient, names: Sequence[str], given: Mapping[str, str]
) -> list[IPv4Network]:
    """Have the engine choose as many ranges as there are names of networks, and give them back.

    It gives out addresses of one's own choice only in a range that was asked for, and knows best
    which one is free. Somebody else may take one before it is asked for; then it is refused.

    Raises:
        docker.errors.APIError: it has none.
    """
    made: list[Any] = []
    try:
        for name in names:
            made.append(client.networks.create(name, labels=dict(given)))
        for network in made:
            network.reload()
        return [_ipv4(network.attrs["IPAM"]["Config"]) for network in made]
    finally:
        for network in made:
            network.remove()


def _ipv4(config: Sequence[Mapping[str, Any]]) -> IPv4Network:
    return IPv4Network(next(each["Subnet"] for each in config if ":" not in each["Subnet"]))


def plan(
    config: Mapping[str, Any],
    chosen: Mapping[str, IPv4Network],
    single: Collection[str],
    added: Mapping[str, Collection[str]],
) -> Addresses:
    """Give every service that is one container an address in each of its networks.

    ``chosen`` is a range for each network of :func:`unsaid`, ``single`` names the services that are
    one container in a run whatever the project says, ``added`` the networks of services that a run
    adds. What the operator fixed stays; a network of another kind is left alone.
    """
    ranges = {name: _halved(subnet) for name, subnet in chosen.items()} | _operators(config)
    joined: dict[str, dict[str, Mapping[str, Any]]] = {
        name: {network: {} for network in where} for name, where in added.items()
    }
    for name in sorted(config["services"]):
        if name in single or copies(config["services"][name]) == 1:
            joined[name] = networks(config, name)
    of_service: dict[str, dict[str, str]] = {}
    short = []
    for network, its in ranges.items():
        members = [
            name
            for name, where in joined.items()
            if network in where and not where[network].get("ipv4_address")
        ]
        addresses = list(islice(its.addresses(), len(members)))
        if len(addresses) < len(members):
            short.append(network)
            continue
        for name, address in zip(members, addresses, strict=True):
            of_service.setdefault(name, {})[network] = address
    return Addresses(
        {name: its for name, its in ranges.items() if its.own and name not in short},
        of_service,
        tuple(short),
    )


def _halved(subnet: IPv4Network) -> Range:
    """The lower half for services, the upper one for the engine to give to all others."""
    return Range(subnet, given_out=list(subnet.subnets())[1])


def _operators(config: Mapping[str, Any]) -> dict[str, Range]:
    """The operator's own ranges, without the addresses that they use or keep."""
    found = {}
    for network, entry in (config.get("networks") or {}).items():
        said = [each for each in _said(entry or {}) if ":" not in str(each.get("subnet") or ":")]
        if not said or not _is_a_bridge(entry):
            continue
        kept = {str(said[0].get("gateway") or ""), *map(str, _values(said[0], "aux_addresses"))}
        kept |= {
            str(networks(config, name).get(network, {}).get("ipv4_address") or "")
            for name in config["services"]
        }
        range_ = said[0].get("ip_range")
        found[network] = Range(
            IPv4Network(said[0]["subnet"], strict=False),
            own=False,
            kept=frozenset(IPv4Address(each) for each in kept if each),
            given_out=IPv4Network(range_, strict=False) if range_ else None,
        )
    return found


def _values(entry: Mapping[str, Any], key: str) -> Iterable[Any]:
    return (entry.get(key) or {}).values()
