"""Which service of the operator's project fills which role, checked before anything is started."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from harness.core.errors import UsageError
from harness.core.target import TargetFile
from harness.drivers.compose.state import FAULTPROXY

BLUE, GREEN = "gateway-blue", "gateway-green"


def services(target: TargetFile) -> dict[str, dict[str, Any]]:
    """By part the service and the port inside; the gateway's two are parts of their own."""
    found = {
        BLUE if role == "gateway" else role: {"service": section.service, "port": section.port}
        for role, section in target.roles.items()
    }
    rollout = target.compose.rollout if target.compose else None
    if rollout is not None:
        found[GREEN] = {"service": rollout.service, "port": rollout.port}
    return found


def check(target: TargetFile, config: Mapping[str, Any]) -> None:
    """Refuse a project that does not fit its target file, or that a run could do harm with.

    Raises:
        UsageError: a service is mapped that is not there, a needed role is missing, or the project
            would write to what outlives the run.
    """
    if "gateway" not in target.roles:
        raise UsageError(
            "The target file maps no gateway.",
            expected="[roles.gateway] with its service and port",
            actual=", ".join(target.roles) or "no roles",
        )
    known = list(config["services"])
    for part, each in services(target).items():
        if each["service"] not in known:
            near = difflib.get_close_matches(str(each["service"]), known, n=1, cutoff=0.5)
            raise UsageError(
                f"The project has no service {each['service']!r}, which is mapped to {part}.",
                expected=", ".join(known),
                actual=each["service"],
                next_step=f"did you mean {near[0]}?" if near else "correct the target file",
            )
    twice = [each["service"] for each in services(target).values()]
    for name in twice:
        if twice.count(name) > 1:
            raise UsageError(
                f"The service {name!r} is mapped to two roles.",
                expected="one role each: faults and restarts hit a role alone",
                actual=name,
            )
    if FAULTPROXY in known:
        raise UsageError(
            f"The project has a service {FAULTPROXY!r}, which is the run's own.",
            expected="another name for it",
            actual=FAULTPROXY,
        )
    _refuse_networks_of_others(target, config)
    _refuse_what_outlives(config)


def _refuse_networks_of_others(target: TargetFile, config: Mapping[str, Any]) -> None:
    """A service in this machine's network, or another's, has no port and no link of its own."""
    for part, each in services(target).items():
        mode = config["services"][each["service"]].get("network_mode")
        if mode:
            raise UsageError(
                f"The service {each['service']!r}, which is mapped to {part}, has no network of "
                "its own.",
                expected="a network of the project, so that two runs and its links are apart",
                actual=f"network_mode: {mode}",
                next_step="add a file to [compose] files with `network_mode: !reset null`",
            )


def copies(entry: Mapping[str, Any]) -> int:
    """How many containers a service is to have."""
    return int(entry.get("scale") or (entry.get("deploy") or {}).get("replicas") or 1)


def _refuse_what_outlives(config: Mapping[str, Any]) -> None:
    for kind in ("volumes", "networks"):
        for name, entry in (config.get(kind) or {}).items():
            if (entry or {}).get("external"):
                raise UsageError(
                    f"The project uses the external {kind[:-1]} {name!r}, which outlives a run.",
                    expected=f"{kind} of the project's own: a run makes them anew and removes them",
                    actual=f"external: true of {kind}.{name}",
                    next_step="add a file to [compose] files that makes it an ordinary one",
                )
            options = (entry or {}).get("driver_opts") or {}
            if "bind" in str(options.get("o", "")).split(","):
                raise UsageError(
                    f"The volume {name!r} is a directory of this machine.",
                    expected="a volume of the project's own, which a run makes and removes",
                    actual=f"driver_opts.device {options.get('device')}",
                    next_step="add a file to [compose] files that makes it an ordinary one",
                )
    for service, entry in config["services"].items():
        for mount in entry.get("volumes") or ():
            if mount.get("type") == "bind" and not mount.get("read_only"):
                raise UsageError(
                    f"The service {service!r} may write to {mount['source']} of this machine.",
                    expected="a volume, or a mount that is read-only: a run breaks what it can",
                    actual=f"a writable mount at {mount['target']}",
                    next_step="mount it with :ro, or use a volume",
                )
