"""``python -m harness.drivers.colours``: act on one gateway of a run's target from a shell command.

``scripts/rollout_gateway.sh`` leaves to the operator how a gateway is started and ended and how
nginx is pointed at it; for a reference stack that the run booted these are the commands.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import HarnessError, NotAllowed, UsageError
from harness.drivers.control import driver_of, settings_in
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.state import write_private
from harness.drivers.reference import ReferenceStack
from harness.drivers.registry import driver

WORKERS = "edge-workers.json"
"""In the target's scratch directory: nginx's workers from before the last switch."""
DRAIN_S = 40.0
# nginx keeps an old worker for 5 to 20 s: a look now and then is enough.
_PACE_S = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Start or stop a gateway, send the edge's traffic to it, or wait until the former gets none.

    Returns 0; 1 where the former still gets some; 2 with the reason told.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness.drivers.colours", description="Acts on one gateway of a target."
    )
    parser.add_argument("--state", type=Path, required=True, help="the run's stack.json")
    parser.add_argument("action", choices=("start", "stop", "send", "drained"))
    parser.add_argument("colour", choices=("blue", "green"))
    parser.add_argument(
        "--release", default="", metavar="'NAME=VALUE ...'", help="with start: all its settings"
    )
    chosen = parser.parse_args(argv)
    try:
        stack = driver(driver_of(chosen.state)).attach(chosen.state)
        if not isinstance(stack, ReferenceStack):
            raise NotAllowed("This target's gateways are not of the reference stack.")
        parts = stack.parts
        if chosen.action == "start":
            _start(parts, chosen.colour, settings_in(shlex.split(chosen.release)))
        elif chosen.action == "stop":
            _stop(parts, chosen.colour)
        elif chosen.action == "send":
            _send(parts, chosen.colour)
        else:
            return 0 if _drained(parts) else 1
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _start(parts: Parts, colour: str, settings: dict[str, str]) -> None:
    _refuse_what_serves(parts, colour, "started")
    name = f"gateway-{colour}"
    if parts.is_running(name):
        parts.stop(name)
    parts.secrets.overrides[name] = settings
    parts.secrets.save(parts.scratch)
    parts.prepare(name)
    parts.start(name)


def _stop(parts: Parts, colour: str) -> None:
    _refuse_what_serves(parts, colour, "stopped")
    if parts.is_running(f"gateway-{colour}"):
        parts.stop(f"gateway-{colour}")


def _refuse_what_serves(parts: Parts, colour: str, what: str) -> None:
    if parts.state.colour == colour:
        raise UsageError(
            f"The {colour} gateway serves, and is not {what} by a roll-out.",
            expected="the colour that nginx sends nothing to",
            actual=colour,
        )


def _send(parts: Parts, colour: str) -> None:
    state, secrets = parts.state, parts.secrets
    workers = list(parts.edge_workers().items())
    write_private(parts.scratch / WORKERS, json.dumps(workers))
    parts.switch_edge(colour)
    if state.colour != colour:
        secrets.previous = secrets.overrides.get(f"gateway-{state.colour}", {})
        secrets.save(parts.scratch)
    state.colour = colour
    state.save()


def _drained(parts: Parts) -> bool:
    """Wait for nginx's workers from before the switch, which may still use the former colour."""
    path = parts.scratch / WORKERS
    if not path.exists():
        return True
    before = {(pid, start) for pid, start in json.loads(path.read_text())}
    deadline = time.monotonic() + DRAIN_S
    while before & set(parts.edge_workers().items()):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PACE_S)
    return True


if __name__ == "__main__":
    sys.exit(main())
