"""Undoing a fault from another process than the one that made it, by a written order."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from chaos.faults.base import FAULTS, Fault
from harness.core.errors import TargetError
from harness.drivers import registry
from harness.drivers.base import Stack

HEALER = "chaos.faults.undo:heal"
"""The name under which a watchdog calls :func:`heal`."""

_GONE_S = 2.0


def order(
    fault: Fault, before: dict[str, Any], stack: Stack, driver: str, state_file: Path
) -> dict[str, Any]:
    """What another process needs in order to undo the fault; holds no secret."""
    return {
        "slug": fault.slug,
        "arguments": fault.arguments,
        "before": before,
        "driver": driver,
        "state_file": str(state_file),
        "run_id": stack.run_id,
        "scratch": str(stack.scratch),
        "target": stack.name,
    }


def warm() -> None:
    """Import what healing needs, while there is time."""
    for name in registry.available():
        # A run on a driver whose libraries are missing does not get as far as a fault.
        with contextlib.suppress(registry.DriverNotInstalled):
            registry.driver(name)


def heal(what: dict[str, Any]) -> dict[str, Any]:
    """Undo a fault as :func:`order` described it, and look whether it is gone.

    A target that is gone itself needs no healing: only what the fault holds outside it is given
    back. Raises whatever the undo raises; the caller tries again.
    """
    import chaos.faults  # noqa: F401  # fills FAULTS

    fault = FAULTS[what["slug"]](**what["arguments"])
    stack = _attached(what)
    if stack is None:
        released = fault.release(what["run_id"], Path(what["scratch"]))
        return {"healed": True, "seen": {"target": "gone", "released": released}}
    fault.heal(stack)
    proof = fault.prove_healed(stack, what["before"])
    return {"healed": proof.ok, "seen": proof.seen}


def _attached(what: dict[str, Any]) -> Stack | None:
    """The target, or ``None`` once it stays unreachable under its state file."""
    state_file = Path(what["state_file"])
    deadline = time.monotonic() + _GONE_S
    while state_file.exists():
        try:
            stack: Stack = registry.driver(what["driver"]).attach(state_file)
        except (TargetError, OSError, ValueError):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)
            continue
        return stack
    return None
