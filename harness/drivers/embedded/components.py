"""Software and version of every role, as the running parts report them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.drivers.base import Component
from harness.drivers.embedded import http
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.places import nginx_bin, weed_bin
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.postgres import ADMIN
from harness.drivers.embedded.processes import Processes

UNKNOWN = "unknown (not answering)"


def components(processes: Processes) -> tuple[Component, ...]:
    """One row per role that was booted; a role that does not answer has the version ``unknown``."""
    return tuple(_describe(processes, role) for role in processes.state.roles if role != "operator")


def _describe(processes: Processes, role: str) -> Component:
    name = f"gateway-{processes.state.colour}" if role == "gateway" else role
    url = f"http://{HOST}:{processes.port(name)}"
    if role == "metadata":
        return Component(role, "PostgreSQL", postgres_version(processes))
    if role == "objectstore":
        return Component(role, "SeaweedFS", _of_running(processes, role, weed_bin(), "version"))
    if role == "edge":
        return Component(role, "nginx", _of_running(processes, role, nginx_bin(), "-v"))
    if role in ("metrics", "alerts"):
        software = "Prometheus" if role == "metrics" else "Alertmanager"
        path = "/api/v1/status/buildinfo" if role == "metrics" else "/api/v2/status"
        return Component(role, software, json_version(url + path))
    if role == "faultproxy":
        version = json_version(f"{url}/version")
        if processes.state.real_toxiproxy:
            return Component(role, "Toxiproxy", version)
        note = "speaks Toxiproxy's HTTP API"
        return Component(role, "ragdrill fault proxy", version, stand_in=True, note=note)
    if role == "vectordb":
        key = {"api-key": processes.secrets.values["vectordb_read_only_api_key"]}
        return Component(
            role,
            "ragdrill vectordb",
            json_version(f"{url}/", key),
            stand_in=True,
            note="Qdrant's REST API on Qdrant's engine (qdrant-edge)",
        )
    version = json_version(f"{url}/healthz")
    if role == "fallback":
        note = "an OpenAI-compatible embeddings provider"
        return Component(role, "ragdrill embed", version, stand_in=True, note=note)
    if role == "pager":
        note = "chat and paging receivers"
        return Component(role, "ragdrill pager", version, stand_in=True, note=note)
    if role == "logs":
        note = "Loki's push and query API for lines and their counts"
        return Component(role, "ragdrill logstore", version, stand_in=True, note=note)
    if role == "gpu":
        made_up, note = gpu_source(url)
        return Component(role, "ragdrill gpuexporter", version, stand_in=made_up, note=note)
    return Component(role, f"ragdrill {role}", version)


def gpu_source(url: str) -> tuple[bool, str]:
    """Whether the figures are made up (taken to be, if nobody answers), and where they are from."""
    try:
        body = json.loads(http.request("GET", f"{url}/healthz", timeout_s=3.0).text)
    except (OSError, ValueError):
        return True, "its source is unknown: it does not answer"
    return bool(body["stand_in"]), f"DCGM's names; {body['software']}"


def postgres_version(processes: Parts) -> str:
    """What the metadata store says of itself, or ``UNKNOWN``."""
    import psycopg

    password = processes.secrets.values[f"{ADMIN}_password"]
    try:
        with psycopg.connect(processes.cluster.dsn(ADMIN, password), connect_timeout=3) as database:
            row = database.execute("SELECT version()").fetchone()
    except psycopg.Error:
        return UNKNOWN
    found = re.search(r"PostgreSQL (\S+)", str(row[0]) if row else "")
    return found[1] if found else UNKNOWN


def _of_running(processes: Processes, name: str, program: Path, flag: str) -> str:
    """Ask the very file that the running process executes; it has no version on the wire."""
    described = processes.keeper.services().get(name)
    if described is None or not described["running"]:
        return UNKNOWN
    running = Path(f"/proc/{described['pid']}/exe")
    try:
        program = running.readlink() if running.is_symlink() else program
        done = subprocess.run(
            [program, flag], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    found = re.search(r"(?:nginx/|GB )(\d[\w.]*)", done.stdout + done.stderr)
    return found[1] if found else UNKNOWN


def json_version(url: str, headers: dict[str, str] | None = None) -> str:
    """The version in a JSON answer, wherever the products of the stack put it; or ``UNKNOWN``."""
    places: tuple[Callable[[dict[str, object]], object], ...] = (
        lambda body: body.get("version"),
        lambda body: _inner(body, "data").get("version"),
        lambda body: _inner(body, "versionInfo").get("version"),
    )
    try:
        answer = http.request("GET", url, headers=headers, timeout_s=3.0)
        body = answer.json()
    except (OSError, ValueError):
        return UNKNOWN
    if answer.status == 200 and isinstance(body, dict):
        for place in places:
            if isinstance(found := place(body), str):
                return found
    return UNKNOWN


def _inner(body: dict[str, object], name: str) -> dict[str, object]:
    inner = body.get(name)
    return inner if isinstance(inner, dict) else {}
