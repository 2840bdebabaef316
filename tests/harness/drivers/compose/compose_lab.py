"""A little Compose project of an operator's, started by a run, and what the engine holds of it."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import HarnessError
from harness.core.target import load_target

PROJECT = """
services:
  api:
    image: ragdrill/base:0.1.0
    command: [python, -m, http.server, "8080"]
    environment:
      STORE_URL: http://store:8080/x
      STORE_HOST: store
      STORE_PORT: "8080"
    deploy: { replicas: 2 }
  store:
    image: ragdrill/base:0.1.0
    command: [python, -m, http.server, "8080"]
    container_name: the-store
    ports: ["8080"]
    volumes: ["kept:/kept"]
    healthcheck: { test: [CMD, "true"], interval: 1s }
volumes:
  kept: { name: the-kept }
"""
TARGET = """
[target]
driver = "compose"
[compose]
files = ["compose.yaml"]
[roles.gateway]
service = "api"
port = 8080
health = "/"
[roles.embed]
service = "store"
port = 8080
"""


def engine_for(*images: str) -> Any:
    """The engine with Compose and these images; a skip where one is missing."""
    pytest.importorskip("docker")
    from harness.drivers.compose.cli import require_compose
    from harness.drivers.containers.engine import connect
    from harness.drivers.containers.pulling import is_there

    try:
        require_compose()
        client = connect()
    except HarnessError as error:
        pytest.skip(error.what)
    for name in images:
        if not is_there(client, f"ragdrill/{name}:0.1.0"):
            pytest.skip(f"run `make images`: ragdrill/{name} is not built")
    return client


def written(folder: Path, project: str = PROJECT, target: str = TARGET) -> Path:
    """The operator's two files in a folder of their own; returns the folder.

    The names that the project fixes end with the folder's name, so that tests don't meet.
    """
    folder.mkdir(exist_ok=True)
    fixed = {f"the-{each}": f"the-{each}-{folder.name}" for each in ("store", "kept")}
    for old, new in fixed.items():
        project = project.replace(old, new)
    (folder / "compose.yaml").write_text(project)
    (folder / "target.toml").write_text(target)
    return folder


def stack_of(folder: Path, place: Path) -> Any:
    """A stack that ``up()`` starts from the files in ``folder``; a run writes to ``place``."""
    from harness.drivers.compose.stack import ComposeStack

    (place / "ragdrill").mkdir(parents=True, exist_ok=True)
    os.environ["RAGDRILL_IMAGES"] = "local"
    run_id = f"compose-{secrets.token_hex(4)}"
    target = load_target(folder / "target.toml")
    return ComposeStack.of_target(run_id, place / "ragdrill", place / "logs", target)


def held(client: Any, *marks: str) -> dict[str, str]:
    """What the engine holds that has one of these words in its name or labels, by kind and id, with
    since when it runs or is there; what others do on the engine meanwhile is not among it."""
    containers = client.containers.list(all=True, ignore_removed=True)
    found = {
        f"container {each.name}": (f"{each.id} {each.attrs['State']['StartedAt']}", each.labels)
        for each in containers
    }
    for each in client.networks.list():
        found[f"network {each.name}"] = (each.id, each.attrs.get("Labels"))
    for each in client.volumes.list():
        told = str(each.attrs["CreatedAt"])
        found[f"volume {each.name}"] = (told, each.attrs.get("Labels"))
    return {
        name: told
        for name, (told, labels) in found.items()
        if any(mark in f"{name} {labels}" for mark in marks)
    }


def digests(folder: Path) -> dict[str, str]:
    """The files of a folder, by path, as digests of what they hold."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
