"""``python -m harness.drivers.roll``: roll a run's gateway to other settings from a shell command.

What the day-two scripts call ``ROLL_GATEWAY_CMD`` is this command for a target of ours: it takes
from its environment those of :data:`SETTINGS` that are set there, empty ones too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import HarnessError, NotAllowed, UsageError
from harness.drivers import control
from harness.drivers.base import Replace
from harness.drivers.registry import driver

SETTINGS = (
    *("CANARY", "GATEWAY_CANARY_SHARE", "GATEWAY_EMBED_MODEL", "GATEWAY_EMBED_STABLE_MODEL"),
    *("GATEWAY_SEARCH_EF", "GATEWAY_RERANK_BATCH", "GATEWAY_EMBED_FALLBACK_API_KEY"),
)
"""What a script may change of a gateway that serves."""


def main(argv: Sequence[str] | None = None) -> int:
    """Roll the gateway; returns 0, or 2 with the reason told and the old one serving."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.drivers.roll",
        description="Rolls the gateway of a run's target to the settings of the environment: "
        + ", ".join(SETTINGS),
    )
    parser.add_argument("--state", type=Path, required=True, help="the run's stack.json")
    chosen = parser.parse_args(argv)
    settings = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    try:
        if not settings:
            raise UsageError(
                "No setting was given.", expected=f"one of {', '.join(SETTINGS)} in the environment"
            )
        stack = driver(control.driver_of(chosen.state)).attach(chosen.state)
        if not isinstance(stack, Replace):
            raise NotAllowed(
                "This target's gateway can't be rolled.",
                expected="[control.gateway] with replace and rollback in the target file",
            )
        stack.replace("gateway", settings)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
