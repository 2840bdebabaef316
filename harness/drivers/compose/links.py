"""The links of a Compose project: where a service is told another one's address."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.drivers.base import Link
from harness.drivers.compose.mapping import BLUE, GREEN
from harness.drivers.compose.state import FAULTPROXY, ComposeState
from harness.drivers.containers.recipes import role_of
from harness.drivers.embedded.links import proxy_port_name
from harness.drivers.embedded.ports import HOST

# Tokens name their issuer, they don't connect to it.
_NO_ADDRESS = re.compile(r"_(ISSUER|ISS|AUD|AUDIENCE)$")
# A host alone, and the variable beside it that holds the port: PGHOST and PGPORT, DB_HOST, DB_PORT.
_HOST = re.compile(r"HOST(NAME)?$")
_DEFAULT_PORTS = {"http": 80, "postgres": 5432, "postgresql": 5432}
_OPERATED = ("vectordb", "objectstore", "metadata")
_SCHEMES = {"metadata": "postgresql"}


@dataclass(frozen=True)
class Edge:
    """A link: between which roles, and the service and port that its proxy sends on to."""

    name: str
    source: str
    target: str
    part: str
    upstream: str

    @property
    def scheme(self) -> str:
        return _SCHEMES.get(self.target, "http")


@dataclass(frozen=True)
class Found:
    """The links of a project, and by service the settings that lead to them.

    ``settings`` by service, then variable: the text with ``{link:NAME}`` where an address stood,
    ``{linkhost:NAME}`` and ``{linkport:NAME}`` where it stood in two variables. ``unled`` are the
    variables that name a mapped service and no port, so that no fault can be put between.
    """

    edges: tuple[Edge, ...]
    settings: dict[str, dict[str, str]]
    unled: tuple[str, ...] = ()


def find(
    mapped: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any], keep: Sequence[str] = ()
) -> Found:
    """Look through the environment of every mapped service for addresses of other mapped ones.

    An address is ``service:port`` alone, in a list or in a URL (which may leave its scheme's usual
    port away), or two variables that differ in HOST and PORT. The operator's own links to the
    stores are added.
    """
    by_address = {f"{each['service']}:{each['port']}": part for part, each in mapped.items()}
    names = sorted((str(each["service"]) for each in mapped.values()), key=len, reverse=True)
    longest_first = sorted(by_address, key=len, reverse=True)
    whole = re.compile(
        r"(?<![A-Za-z0-9._-])(" + "|".join(map(re.escape, longest_first)) + r")(?![0-9A-Za-z])"
    )
    portless = re.compile(
        r"(\w+)(://(?:[^\s/@]*@)?)(" + "|".join(map(re.escape, names)) + r")(?![A-Za-z0-9._:-])"
    )
    edges: dict[str, Edge] = {}
    settings: dict[str, dict[str, str]] = {}
    unled: list[str] = []

    def led(source: str, address: str) -> str | None:
        """The name of the link to an address; None for one that is no other part's."""
        part = by_address.get(address)
        if part is None or part == source:
            return None
        edge = _edge(source, part, address)
        edges[edge.name] = edge
        return edge.name

    def named(variable: str, told: str) -> list[str]:
        """The mapped services that a setting names without a port."""
        alone = [told] if _HOST.search(variable) and told in names else []
        return alone + [match[3] for match in portless.finditer(told)]

    for source, each in mapped.items():
        service = str(each["service"])
        if service in keep:
            continue
        environment = config["services"][service].get("environment") or {}
        for variable, value in environment.items():
            if _NO_ADDRESS.search(variable) or f"{service}.{variable}" in keep:
                continue
            told = str(value or "")

            def lead(match: re.Match[str], source: str = source) -> str:
                name = led(source, match[1])
                return match[0] if name is None else f"{{link:{name}}}"

            def lead_by_scheme(match: re.Match[str], source: str = source) -> str:
                name = led(source, f"{match[3]}:{_DEFAULT_PORTS.get(match[1])}")
                return match[0] if name is None else f"{match[1]}{match[2]}{{link:{name}}}"

            text = portless.sub(lead_by_scheme, whole.sub(lead, told))
            given = {variable: text} if text != told else {}
            if _HOST.search(variable) and told in names:
                beside = _HOST.sub("PORT", variable)
                name = led(source, f"{told}:{environment.get(beside)}")
                if name is not None:
                    given = {variable: f"{{linkhost:{name}}}", beside: f"{{linkport:{name}}}"}
            if given:
                settings.setdefault(service, {}).update(given)
            elif any(name != service for name in named(variable, told)):
                unled.append(f"{service}.{variable}")
    if GREEN in mapped and "edge" in mapped:
        for part in (BLUE, GREEN):
            edge = _edge("edge", part, f"{mapped[part]['service']}:{mapped[part]['port']}")
            edges[edge.name] = edge
    for role in _OPERATED:
        if role in mapped:
            upstream = f"{mapped[role]['service']}:{mapped[role]['port']}"
            edges[f"operator-{role}"] = Edge(f"operator-{role}", "operator", role, role, upstream)
    return Found(tuple(edges.values()), settings, tuple(unled))


def _edge(source: str, part: str, upstream: str) -> Edge:
    """The link between two parts; both gateways use the same ones, but each is reached apart."""
    origin = role_of(source)
    name = f"{origin}-{part.removeprefix('gateway-')}"
    return Edge(name, origin, role_of(part), part, upstream)


def links_of(state: ComposeState) -> tuple[Link, ...]:
    """The links as this machine reaches them: the proxy's port, and past it the part's own."""
    found = []
    for entry in state.edges:
        edge = Edge(**entry)
        port = state.ports[proxy_port_name(edge.name)]
        found.append(
            Link(
                name=edge.name,
                source=edge.source,
                target=edge.target,
                url=f"{edge.scheme}://{HOST}:{port}",
                host=HOST,
                port=port,
                upstream=f"{HOST}:{state.ports[edge.part]}",
            )
        )
    return tuple(found)


def inside(state: ComposeState, link: str) -> str:
    """``host:port`` of a link's proxy as services of the project reach it."""
    return f"{FAULTPROXY}:{state.ports[proxy_port_name(link)]}"


def filled(text: str, state: ComposeState) -> str:
    """A setting of :class:`Found` with the addresses of this run's proxies."""

    def address(match: re.Match[str]) -> str:
        whole = inside(state, match[2])
        host, _, port = whole.partition(":")
        return {"host": host, "port": port}.get(match[1], whole)

    return re.sub(r"\{link(host|port|):([^}]+)\}", address, text)
