"""Copies of the operator's alert rules and routes with shortened windows, laid over theirs.

A live drill can't wait ten minutes for an alert: as on a booted stack, ``--time-scale`` divides
every window of the rules and every wait of the routes, and nothing else of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from harness.core.errors import UsageError
from harness.drivers.compose.state import ComposeState
from harness.drivers.embedded.metrics import INTERVAL
from harness.drivers.embedded.rules import scale_rules, scaled

_FILES = {
    "metrics": "/etc/prometheus/prometheus.yml",
    "alerts": "/etc/alertmanager/alertmanager.yml",
}
_WAITS = ("group_wait", "group_interval", "repeat_interval")
_OPTION = "--config.file"


@dataclass
class Windows:
    """What is laid over: ``volumes`` and ``environment`` by service.

    ``unseen`` are the roles whose files are none that is mounted from this machine.
    """

    volumes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)


def shortened(state: ComposeState, config: Mapping[str, Any]) -> Windows:
    """Write the copies into the run's scratch directory; nothing where windows stay as they are.

    Raises:
        UsageError: a file is not what Prometheus or Alertmanager reads, or a window would get too
            short.
    """
    made = Windows()
    if state.time_scale == 1:
        return made
    for role, usual in _FILES.items():
        if role not in state.services:
            continue
        service = state.service(role)
        entry = config["services"][service]
        there = PurePosixPath(_config_file(entry) or usual)
        if _source(entry, there) is None:
            made.unseen.append(role)
            continue
        copies = (
            _metrics(entry, there, state) if role == "metrics" else _alerts(entry, there, state)
        )
        made.volumes[service] = [
            _mounted(Path(state.scratch) / "config" / role, target, text)
            for target, text in copies.items()
        ]
    if "exporter" in state.services:
        service = state.service("exporter")
        given = config["services"][service].get("environment") or {}
        if any(name.startswith("EXPORTER_") for name in given):
            # What is measured twice a minute says nothing within a window of seconds.
            made.environment[service] = {"EXPORTER_INTERVAL_S": "1"}
    return made


def _config_file(entry: Mapping[str, Any]) -> str:
    words = [str(word) for word in entry.get("command") or ()]
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name == _OPTION:
            return value or (words[number + 1] if number + 1 < len(words) else "")
    return ""


def _source(entry: Mapping[str, Any], there: PurePosixPath) -> Path | None:
    """The file or directory of this machine that a container sees at a place, if it is one."""
    found: tuple[int, Path] | None = None
    for mount in entry.get("volumes") or ():
        target = PurePosixPath(str(mount["target"]))
        if mount.get("type") == "bind" and there.is_relative_to(target):
            here = Path(mount["source"]) / there.relative_to(target)
            if found is None or len(target.parts) > found[0]:
                found = len(target.parts), here
    return found[1] if found is not None and found[1].exists() else None


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(
            f"{what} of the project can't be read, so its windows can't be shortened.",
            expected=f"YAML in {path}",
            actual=str(error),
            next_step="correct it, or pass --time-scale 1",
        ) from error
    if not isinstance(document, dict):
        raise UsageError(
            f"{what} of the project is none.", expected="a mapping", actual=f"{path}: {document!r}"
        )
    return document


def _metrics(
    entry: Mapping[str, Any], there: PurePosixPath, state: ComposeState
) -> dict[PurePosixPath, str]:
    """Prometheus's configuration, which measures each second, and its rule files."""
    here = _source(entry, there)
    assert here is not None
    document = _read(here, "The configuration of Prometheus")
    every = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), INTERVAL)
    document["global"] = {**(document.get("global") or {}), **every}
    for job in document.get("scrape_configs") or ():
        for name in every:
            job.pop(name, None)
    copies = {there: yaml.safe_dump(document, sort_keys=False)}
    for pattern in document.get("rule_files") or ():
        wanted = there.parent / pattern
        folder = _source(entry, wanted.parent)
        for path in sorted(folder.glob(wanted.name)) if folder is not None else ():
            _read(path, "A rule file")
            copies[wanted.parent / path.name] = scale_rules(path.read_text(), state.time_scale)
    return copies


def _alerts(
    entry: Mapping[str, Any], there: PurePosixPath, state: ComposeState
) -> dict[PurePosixPath, str]:
    """Alertmanager's configuration with the waits of every route shortened."""
    here = _source(entry, there)
    assert here is not None
    document = _read(here, "The configuration of Alertmanager")

    def shorten(route: dict[str, Any]) -> None:
        for name in _WAITS:
            if name in route:
                route[name] = scaled(str(route[name]), state.time_scale)
        for each in route.get("routes") or ():
            shorten(each)

    shorten(document.get("route") or {})
    return {there: yaml.safe_dump(document, sort_keys=False)}


def _mounted(place: Path, target: PurePosixPath, text: str) -> dict[str, Any]:
    """A copy, mounted over the operator's file; the run's directory lets nobody else in."""
    path = place.joinpath(*target.parts[1:])
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return {"type": "bind", "source": str(path), "target": str(target), "read_only": True}
