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

# What only the extra `containers` brings.
_EXTRA = ("docker", "testcontainers")


class DriverNotInstalled(UsageError):
    """There is such a driver, but not the libraries that it is made with."""


def available() -> tuple[str, ...]:
    return tuple(sorted(_DRIVERS))


def driver(name: str) -> Any:
    """The class of a driver. Raises UsageError, naming those there are, for an unknown one.

    Raises DriverNotInstalled where the driver's own libraries are missing.
    """
    if name not in _DRIVERS:
        raise UsageError(
            f"There is no driver named {name!r}.",
            expected="one of " + ", ".join(available()),
            actual=name,
            next_step="set [target] driver in the target file, or pass --driver embedded",
        )
    module, _, attribute = _DRIVERS[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRA:
            raise
        raise DriverNotInstalled(
            f"The driver {name!r} needs packages that are not installed.",
            expected="the extra containers",
            actual=f"no module named {error.name!r}",
            next_step="scripts/bootstrap.sh containers (or pip install -e '.[containers]')",
        ) from error
