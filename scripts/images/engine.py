"""The Docker engine, through its command line: is it there, and builds with it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.errors import TargetError

_ASK_S = 60.0
_LAST_LINES = 15
# Build arguments that every engine knows, for networks with a proxy.
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Built:
    """How a build ended: seconds it took, and whether the image is another one than before."""

    seconds: float
    changed: bool


class BuildFailed(TargetError):
    """An image could not be built; carries the last lines of the build."""


def docker(*arguments: str, timeout_s: float = _ASK_S) -> str | None:
    """The output of a docker command; None where it failed or took too long."""
    try:
        done = subprocess.run(
            ("docker", *arguments),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def require_engine() -> str:
    """The engine's version. Raises TargetError, with what to do, where none answers."""
    try:
        done = subprocess.run(
            ("docker", "version", "--format", "{{.Server.Version}}"),
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise TargetError(
            "There is no docker command here.",
            expected="Docker's command line on PATH",
            actual="not found",
            next_step="install Docker (Debian: apt-get install docker.io), or go on without "
            "containers: the embedded driver needs none",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            "The Docker engine does not answer.",
            expected=f"an answer within {_ASK_S:.0f} s",
            actual="none",
            next_step="look at the engine's log (journalctl -u docker)",
        ) from error
    if done.returncode:
        raise TargetError(
            "No Docker engine answers.",
            expected="an engine at DOCKER_HOST, or at unix:///var/run/docker.sock",
            actual=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no answer",
            next_step="start it (systemctl start docker, or dockerd as root), or set DOCKER_HOST; "
            "a permission problem: join the group docker",
        )
    return done.stdout.strip()


def image_id(tag: str) -> str:
    """The identity of an image, empty where there is none of that tag."""
    told = docker("image", "inspect", "--format", "{{.Id}}", tag)
    return (told or "").strip()


def build(
    tag: str,
    dockerfile: str,
    context: bytes,
    *,
    target: str = "",
    arguments: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> Built:
    """Build one image from a context archive; raises BuildFailed."""
    before = image_id(tag)
    began = time.monotonic()
    command = ["docker", "build", "--force-rm", "-q", "-t", tag, "-f", dockerfile]
    command += ["--label", "ragdrill.image=1"]
    command += ["--target", target] if target else []
    command += ["--no-cache"] if fresh else []
    proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    for name, value in {**proxies, **(arguments or {})}.items():
        command += ["--build-arg", f"{name}={value}"]
    done = subprocess.run([*command, "-"], input=context, capture_output=True, check=False)
    if done.returncode:
        words = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        raise BuildFailed(
            f"{tag} could not be built.",
            expected=f"docker build of {dockerfile} to end with 0",
            actual=f"{done.returncode}:\n    " + "\n    ".join(words[-_LAST_LINES:]),
            next_step="no package could be fetched? Behind a proxy set https_proxy; where TLS is "
            "opened set RAGDRILL_CA_BUNDLE to the certificates to trust",
        )
    return Built(time.monotonic() - began, image_id(tag) != before)


def labels(tag: str) -> dict[str, str]:
    """The labels of an image; empty where there is none of that tag."""
    told = docker("image", "inspect", "--format", "{{json .Config.Labels}}", tag)
    found: dict[str, str] | None = json.loads(told) if told else None
    return found or {}
