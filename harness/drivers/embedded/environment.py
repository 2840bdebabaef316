"""The environment of a process of the stack, built from scratch so that runs are alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.drivers.embedded.places import CHECKOUT

# Inherited because seeded defects are injected through them, from outside the product.
_INHERITED_PREFIX = "RAGDRILL_"
_OWN = frozenset({"RAGDRILL_RUN_ID", "RAGDRILL_KEEPER_PID", "RAGDRILL_SERVICE"})


def service_environment(directory: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Variables for a process whose home, working and temporary directory is ``directory``."""
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        # A file in a data directory must never be imported in place of a module.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        # One heap per core costs a process of ours tens of megabytes and gains nothing here.
        "MALLOC_ARENA_MAX": "2",
    }
    if sys.prefix != sys.base_prefix:
        env["VIRTUAL_ENV"] = sys.prefix
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    env["PYTHONPATH"] = os.pathsep.join(
        [*(str(Path(part).absolute()) for part in inherited), str(CHECKOUT)]
    )
    env.update(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith(_INHERITED_PREFIX) and name not in _OWN
    )
    env.update(extra)
    return env


def python_module(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]
