"""The generated files of the parts that are configured by files, as their containers read them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from harness.drivers.containers.recipes import OBJECTSTORE_METRICS, Cookbook
from harness.drivers.embedded.metrics import (
    KEY_FILE,
    alertmanager_config,
    prometheus_config,
    scaled_rules,
)
from harness.drivers.embedded.nginx import nginx_config
from harness.drivers.embedded.services import KEY_REGISTER, key_register


def write_configuration(book: Cookbook, part: str, colour: str | None = None) -> None:
    """Write what the part reads; ``colour`` is the gateway that the edge sends requests to."""
    state, context = book.state, book.context
    place = book.configuration(part)
    if part == "edge":
        text = nginx_config(
            directory="/tmp",
            user="",
            listen=f"0.0.0.0:{book.images['edge'].port}",
            upstream=context.link_address(f"edge-{colour or state.colour}"),
        )
        _write(place / "nginx.conf", text)
    elif part == "metrics":
        for name, rules in scaled_rules(state.time_scale).items():
            _write(place / "rules" / name, rules)
        _write(place / KEY_FILE, book.secrets.values["vectordb_read_only_api_key"])
        local = book.images["objectstore"].source == "local"
        _write(
            place / "prometheus.yml",
            prometheus_config(
                context.link_address,
                state.time_scale,
                objectstore=f"objectstore:{OBJECTSTORE_METRICS}" if local else None,
                alerts="alerts" not in state.absent,
            ),
        )
    elif part == "alerts":
        pager = context.link("alerts-pager")
        _write(place / "alertmanager.yml", alertmanager_config(pager, state.time_scale))
    elif part == "exporter" and state.volumes.get("exporter"):
        register = Path(state.volumes["exporter"]) / KEY_REGISTER
        if not register.exists():
            _write(register, key_register(time.time()))


def _write(path: Path, text: str) -> None:
    """Write in place, because a file that is mounted by itself would be left behind by a rename.

    Readable for the container's user; the run's directory above it lets nobody else in.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.truncate(0)
        file.write(text)
