"""Software and version of every role, as the running containers report them."""

from __future__ import annotations

import re

from harness.core.adapters import load_api
from harness.drivers import adapted
from harness.drivers.base import Component
from harness.drivers.containers.fleet import Fleet
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
    "Loki": "/loki/api/v1/status/buildinfo",
}
# What has no version on the wire tells it on its command line.
_COMMANDS = {
    "edge": ["nginx", "-v"],
    "SeaweedFS": ["weed", "version"],
    "MinIO": ["minio", "--version"],
}
_VERSION = re.compile(r"(?:nginx/|GB |RELEASE\.)(\d[\w.:-]*)")


def components(fleet: Fleet) -> tuple[Component, ...]:
    """One row per role; a role that does not answer has the version ``unknown``."""
    return tuple(_describe(fleet, role) for role in fleet.state.roles)


def _describe(fleet: Fleet, role: str) -> Component:
    part = f"gateway-{fleet.state.colour}" if role == "gateway" else role
    image = fleet.book.images[part]
    url = f"http://{HOST}:{fleet.port(part)}"
    stand_in, note = image.stand_in, image.note
    if role == "gpu":
        stand_in, note = gpu_source(url)
    told = f"image {image.reference}" + (", given by the environment" if image.replaced else "")
    software, version = image.software, ""
    if role == "gateway" and fleet.state.adapter:
        software, version, stand_in = adapted.software(url, load_api(fleet.state.adapter))
    return Component(
        role,
        software,
        version or _version(fleet, part, url),
        stand_in=stand_in,
        note=f"{note}; {told}" if note else told,
    )


def _version(fleet: Fleet, part: str, url: str) -> str:
    image = fleet.book.images[part]
    if part == "metadata":
        return postgres_version(fleet)
    command = _COMMANDS.get(image.software) or _COMMANDS.get(part)
    if command is not None:
        found = _VERSION.search(fleet.said(part, command))
        return found[1] if found else UNKNOWN
    headers = {}
    if part == "vectordb":
        headers["api-key"] = fleet.secrets.values["vectordb_read_only_api_key"]
    path = _PATHS.get(image.software) or _PATHS.get(part, "/healthz")
    return json_version(url + path, headers)
