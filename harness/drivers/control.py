"""``python -m harness.drivers.control``: act on roles of a run's target from a shell command.

The day-two scripts know no drivers; what they cannot do on every target (end all writers) they do
by a command from their environment, and for a target of ours this is that command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.core.errors import HarnessError, NotAllowed, TargetError, UsageError
from harness.drivers.base import Restart
from harness.drivers.registry import driver


def main(argv: Sequence[str] | None = None) -> int:
    """Stop, start, restart or wipe roles in the order given; returns 0, or 2 with the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.drivers.control", description="Acts on roles of a run's target."
    )
    parser.add_argument("--state", type=Path, required=True, help="the run's stack.json")
    parser.add_argument("action", choices=("stop", "start", "restart", "wipe"))
    parser.add_argument("roles", nargs="+", metavar="role")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="with restart: change this setting of the roles from now on",
    )
    chosen = parser.parse_args(argv)
    try:
        stack = driver(driver_of(chosen.state)).attach(chosen.state)
        if not isinstance(stack, Restart):
            raise NotAllowed(
                "This target's roles can't be stopped or started.",
                expected="[control.<role>] with commands in the target file",
            )
        settings = settings_in(chosen.set)
        for role in chosen.roles:
            if chosen.action == "restart" and settings:
                stack.restart(role, settings)
                continue
            act: Callable[[str], None] | None = getattr(stack, chosen.action, None)
            if act is None:
                raise NotAllowed(f"This target's roles can't be acted on by {chosen.action}.")
            act(role)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def settings_in(given: Sequence[str]) -> dict[str, str]:
    """Return ``NAME=VALUE`` words as settings. Raises UsageError for any other word."""
    found = {}
    for word in given:
        name, sign, value = word.partition("=")
        if not (name and sign):
            raise UsageError("This is no setting.", expected="NAME=VALUE", actual=word)
        found[name] = value
    return found


def driver_of(state: Path) -> str:
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
