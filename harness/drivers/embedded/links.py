"""The links of the embedded driver, and the fault proxies that sit on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.errors import TargetError
from harness.drivers.base import Link
from harness.drivers.embedded import http
from harness.drivers.embedded.ports import HOST

CONTROL = "faultproxy"


@dataclass(frozen=True)
class Edge:
    """One directed edge: ``process`` is the process that the proxy sends connections on to."""

    name: str
    source: str
    target: str
    process: str
    scheme: str = "http"


EDGES = (
    Edge("edge-blue", "edge", "gateway", "gateway-blue"),
    Edge("edge-green", "edge", "gateway", "gateway-green"),
    Edge("gateway-embed", "gateway", "embed", "embed"),
    Edge("gateway-fallback", "gateway", "fallback", "fallback"),
    Edge("gateway-rerank", "gateway", "rerank", "rerank"),
    Edge("gateway-vectordb", "gateway", "vectordb", "vectordb"),
    Edge("gateway-metadata", "gateway", "metadata", "metadata", "postgresql"),
    Edge("gateway-auth", "gateway", "auth", "auth"),
    Edge("auth-metadata", "auth", "metadata", "metadata", "postgresql"),
    Edge("metadata-objectstore", "metadata", "objectstore", "objectstore"),
    Edge("metrics-gateway-blue", "metrics", "gateway", "gateway-blue"),
    Edge("metrics-gateway-green", "metrics", "gateway", "gateway-green"),
    Edge("metrics-embed", "metrics", "embed", "embed"),
    Edge("metrics-rerank", "metrics", "rerank", "rerank"),
    Edge("metrics-vectordb", "metrics", "vectordb", "vectordb"),
    Edge("metrics-auth", "metrics", "auth", "auth"),
    Edge("metrics-exporter", "metrics", "exporter", "exporter"),
    Edge("metrics-gpu", "metrics", "gpu", "gpu"),
    Edge("metrics-logs", "metrics", "logs", "logs"),
    Edge("metrics-logship", "metrics", "logship", "logship"),
    Edge("logship-logs", "logship", "logs", "logs"),
    Edge("metrics-alerts", "metrics", "alerts", "alerts"),
    Edge("alerts-pager", "alerts", "pager", "pager"),
    Edge("operator-vectordb", "operator", "vectordb", "vectordb"),
    Edge("operator-objectstore", "operator", "objectstore", "objectstore"),
    Edge("operator-metadata", "operator", "metadata", "metadata", "postgresql"),
)


def proxy_port_name(link: str) -> str:
    """Under which name the port of a link's proxy is reserved."""
    return f"link:{link}"


def links(ports: dict[str, int], absent: dict[str, str]) -> tuple[Link, ...]:
    """The links between roles that are there."""
    found = []
    for edge in EDGES:
        if edge.source in absent or edge.target in absent:
            continue
        port = ports[proxy_port_name(edge.name)]
        found.append(
            Link(
                name=edge.name,
                source=edge.source,
                target=edge.target,
                url=f"{edge.scheme}://{HOST}:{port}",
                host=HOST,
                port=port,
                upstream=f"{HOST}:{ports[edge.process]}",
            )
        )
    return tuple(found)


def populate(control_url: str, made: tuple[Link, ...]) -> None:
    """Create one proxy per link; what is there already with the same addresses is left as it is.

    Raises TargetError with what the fault proxy said.
    """
    populate_as(
        control_url, {link.name: (f"{link.host}:{link.port}", link.upstream) for link in made}
    )


def populate_as(control_url: str, made: Mapping[str, tuple[str, str]]) -> None:
    """As :func:`populate`, with the addresses as the proxy itself sees them: where it listens for
    a link, and where it sends that on to."""
    wanted = [
        {"name": name, "listen": listen, "upstream": upstream}
        for name, (listen, upstream) in made.items()
    ]
    answer = http.request("POST", f"{control_url}/populate", json_body=wanted, timeout_s=10.0)
    if answer.status != 201:
        raise TargetError(
            "The fault proxy did not take the links.",
            expected="status 201 from POST /populate",
            actual=f"{answer.status}: {answer.text[:300]}",
        )
