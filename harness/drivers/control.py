"""``python -m harness.drivers.control``: act on roles of a run's target from a shell command.

The day-two scripts know no drivers; what they cannot do on every target (end all writers) they do
by a command from their environment, and for a target of ours this is that command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import HarnessError, NotAllowed, TargetError
from harness.drivers.base import Restart
from harness.drivers.registry import driver


def main(argv: Sequence[str] | None = None) -> int:
    """Stop, start or restart roles in the order given; returns 0, or 2 with the reason told."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.drivers.control", description="Acts on roles of a run's target."
    )
    parser.add_argument("--state", type=Path, required=True, help="the run's stack.json")
    parser.add_argument("action", choices=("stop", "start", "restart"))
    parser.add_argument("roles", nargs="+", metavar="role")
    chosen = parser.parse_args(argv)
    try:
        stack = driver(_driver_of(chosen.state)).attach(chosen.state)
        if not isinstance(stack, Restart):
            raise NotAllowed(
                "This target's roles can't be stopped or started.",
                expected="[control.<role>] with commands in the target file",
            )
        for role in chosen.roles:
            getattr(stack, chosen.action)(role)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _driver_of(state: Path) -> str:
    """The name of the driver that wrote this state. Raises TargetError where there is none."""
    try:
        kept = json.loads(state.read_text())
    except (OSError, ValueError) as error:
        raise TargetError(
            "This run's target is not there.",
            expected=f"the state of a target in {state}",
            actual=str(error),
        ) from error
    return str(kept.get("driver") or ("attach" if "target" in kept else "embedded"))


if __name__ == "__main__":
    sys.exit(main())
