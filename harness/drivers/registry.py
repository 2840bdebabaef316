"""Which drivers there are, by the name a target file gives."""

from __future__ import annotations

import importlib
from typing import Any

from harness.core.errors import UsageError

# Name of the driver: where its class lives. Loaded on demand, so that one driver's libraries are
# not needed for another's run.
_DRIVERS = {
    "attach": "harness.drivers.attach:AttachedStack",
    "compose": "harness.drivers.compose.stack:ComposeStack",
    "containers": "harness.drivers.containers.stack:ContainerStack",
    "embedded": "harness.drivers.embedded.stack:EmbeddedStack",
}


def available() -> tuple[str, ...]:
    return tuple(sorted(_DRIVERS))


def driver(name: str) -> Any:
    """The class of a driver. Raises UsageError, naming those there are, for an unknown one."""
    if name not in _DRIVERS:
        raise UsageError(
            f"There is no driver named {name!r}.",
            expected="one of " + ", ".join(available()),
            actual=name,
            next_step="set [target] driver in the target file, or pass --driver embedded",
        )
    module, _, attribute = _DRIVERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
