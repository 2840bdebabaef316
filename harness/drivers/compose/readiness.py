"""Whether a service of the operator's would serve, asked where they or its makers say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.core.adapters import load_api
from harness.drivers import adapted
from harness.drivers.containers.images import known_image
from harness.drivers.containers.recipes import role_of
from harness.drivers.embedded import http
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.readiness import PROBE_S, bucket_there, over_http

if TYPE_CHECKING:
    from harness.drivers.compose.fleet import ComposeFleet

_READY = "/readyz"
_SPOKEN_TO = ("faultproxy", "metadata", "vectordb")
"""What is asked in its product's own words, whoever's it is."""


def own_probe(fleet: ComposeFleet, part: str) -> Callable[[], str | None] | None:
    """How a service is asked whether it would serve; None for the reference stack's way.

    In this order: the gateway's adapter, ``health`` of the target file, the path that the image
    is known to have, ``/readyz``, and where there is no such path the service's health check.
    """
    role, url = role_of(part), f"http://{HOST}:{fleet.port(part)}"
    section: dict[str, Any] = fleet.state.target["roles"].get(role) or {}
    if fleet.state.adapter and role in ("gateway", "edge"):
        api = load_api(fleet.state.adapter)
        return lambda: adapted.problem(url, api, PROBE_S) or None
    if section.get("health"):
        return over_http(url + section["health"])
    if role == "objectstore":
        return lambda: _objectstore(fleet, url, section)
    if role in _SPOKEN_TO:
        return None
    return lambda: _answers(fleet, part, role, url)


def _objectstore(fleet: ComposeFleet, url: str, section: dict[str, Any]) -> str | None:
    """Whether the bucket is there; where the target file names none, whether anything answers."""
    if section.get("bucket") and section.get("access_key_env"):
        return bucket_there(fleet, section["bucket"])
    http.request("GET", f"{url}/", timeout_s=PROBE_S)
    return None


def _answers(fleet: ComposeFleet, part: str, role: str, url: str) -> str | None:
    container = fleet.container(part)
    if container is None:
        return "it has no container"
    image = known_image(role, str(container.attrs["Config"]["Image"]))
    path = image.health if image is not None and image.health and role != "edge" else _READY
    answer = http.request("GET", url + path, timeout_s=PROBE_S)
    if answer.status == 200:
        return None
    told = f"{answer.status} for {path}: {answer.text[:300]}"
    if answer.status != 404:
        return told
    health = (container.attrs["State"].get("Health") or {}).get("Status", "")
    if health == "healthy":
        return None
    if health:
        return f"its health check says {health}"
    return (
        f"404 for {path}, and it has no health check; name the path that answers 200 when it is "
        f"ready: health of [roles.{role}] in the target file"
    )
