"""The container engine: how it is reached, and what it can do."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import docker
import docker.errors
import requests

from harness.core.errors import TargetError
from harness.drivers.embedded import procfs
from harness.drivers.embedded.ports import HOST

# Everything is reached through ports published on the loopback interface. testcontainers would
# take the bridge's address where this machine looks like a container itself.
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
# Our own reaper does this job without pulling anything; see reaper.py.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = str(os.environ.get("RAGDRILL_RYUK") != "1").lower()

TIMEOUT_S = 60
_POOL = 64


class EngineError(TargetError):
    """There is no container engine, or it did not do what it was asked."""


def connect() -> docker.DockerClient:
    """A client of the engine that ``DOCKER_HOST`` names, else of the local one.

    Raises:
        EngineError: none answers.
    """
    try:
        client = docker.from_env(timeout=TIMEOUT_S, max_pool_size=_POOL)
        client.ping()
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise EngineError(
            "No container engine answers.",
            expected=f"a Docker engine at {os.environ.get('DOCKER_HOST', 'its usual socket')}",
            actual=str(error),
            next_step="start Docker (scripts/containers/engine.sh does so on Debian), or set "
            "DOCKER_HOST; --driver embedded needs no engine",
        ) from error
    return client


def check_local(client: docker.DockerClient) -> None:
    """Raise EngineError for an engine whose published ports and files are another machine's."""
    url = str(client.api.base_url)
    if url.startswith(("http+docker://", "npipe://")) or f"//{HOST}" in url or "localhost" in url:
        return
    raise EngineError(
        "The container engine runs on another machine.",
        expected=f"one whose ports can be published on {HOST} of this machine",
        actual=url,
        next_step="unset DOCKER_HOST, or run the harness where the engine is",
    )


def has_gpu(client: docker.DockerClient) -> bool:
    """Whether the engine can give containers an NVIDIA GPU."""
    return "nvidia" in (client.info().get("Runtimes") or {})


def sees_processes(client: docker.DockerClient) -> bool:
    """Whether this process may look at what containers run and store: root beside the engine."""
    root = Path(str(client.info().get("DockerRootDir", "")))
    if os.geteuid() != 0 or not (root / "volumes").is_dir():
        return False
    # An engine in another space of process numbers tells numbers that mean nothing here.
    return any(
        Path(link).name == "dockerd" for link in (procfs.link(pid, "exe") for pid in procfs.pids())
    )


@cache
def machine() -> str:
    """What tells one start of one machine, and one space of process numbers, from another."""
    parts = []
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        try:
            parts.append(Path(path).read_text().strip())
        except OSError:
            parts.append("")
    try:
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        parts.append("")
    return "/".join(parts)
