"""Software and version of every role of a project, as the running services report them."""

from __future__ import annotations

import re

from harness.core.adapters import load_api
from harness.drivers import adapted
from harness.drivers.base import Component
from harness.drivers.compose.fleet import ComposeFleet
from harness.drivers.compose.mapping import BLUE
from harness.drivers.containers.images import known_image, repository
from harness.drivers.embedded.components import (
    UNKNOWN,
    gpu_source,
    json_version,
    postgres_version,
)
from harness.drivers.embedded.ports import HOST

_PATHS = {
    "metrics": "/api/v1/status/buildinfo",
    "alerts": "/api/v2/status",
    "faultproxy": "/version",
    "vectordb": "/",
    "dashboards": "/api/health",
}
# What has no version on the wire tells it on its command line, by role or by software.
_COMMANDS = {
    "edge": ["nginx", "-v"],
    "SeaweedFS": ["weed", "version"],
    "MinIO": ["minio", "--version"],
}
_VERSION = re.compile(r"(?:nginx/|GB |RELEASE\.)(\d[\w.:-]*)")


def components(fleet: ComposeFleet) -> tuple[Component, ...]:
    """One row per mapped role; a role that does not answer has the version ``unknown``."""
    return tuple(_describe(fleet, role) for role in fleet.state.roles)


def _describe(fleet: ComposeFleet, role: str) -> Component:
    part = f"gateway-{fleet.state.colour}" if role == "gateway" else role
    container = fleet.container(part)
    reference = str(container.attrs["Config"]["Image"]) if container is not None else ""
    known = known_image(role, reference)
    told = f"image {reference}" if reference else "no container"
    url = f"http://{HOST}:{fleet.port(part)}"
    software = known.software if known else repository(reference).rpartition("/")[2] or role
    stand_in = bool(known and known.stand_in)
    note = f"{known.note}; {told}" if known and known.note else told
    if role == "gpu" and known is not None:
        stand_in, source = gpu_source(url)
        note = f"{source}; {told}"
    if role == "gateway" and fleet.state.adapter:
        return Component(role, *adapted.software(url, load_api(fleet.state.adapter)), told)
    return Component(role, software, _version(fleet, part, software, url), stand_in, note)


def _version(fleet: ComposeFleet, part: str, software: str, url: str) -> str:
    role = BLUE if part.startswith("gateway-") else part
    if role == "metadata":
        return postgres_version(fleet)
    command = _COMMANDS.get(software) or _COMMANDS.get(role)
    if command is not None:
        found = _VERSION.search(fleet.said(part, command))
        return found[1] if found else UNKNOWN
    headers = {}
    if role == "vectordb":
        headers["api-key"] = fleet.secrets.values["vectordb_read_only_api_key"]
    return json_version(url + _PATHS.get(role, "/healthz"), headers)
