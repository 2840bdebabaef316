"""Processes that hold leases or inject faults, made to be killed by a test."""

from __future__ import annotations

import json
import os
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fixtures.faults import Injector, make_fault
from harness.core.errors import NotAllowed
from harness.core.history import History
from harness.core.run import Run
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.watchdog import Lease

FLEETING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pause", {"role": "pager"}),
    ("latency", {"link": "alerts-pager", "latency_ms": 300}),
    ("kill", {"role": "pager"}),
    ("file-descriptors", {"role": "pager"}),
    ("cpu-starvation", {"role": "pager", "share": 0.02}),
    ("down", {"link": "alerts-pager"}),
    ("memory-limit", {"role": "pager"}),
    ("graceful-stop", {"role": "pager"}),
    ("slow-start", {"role": "pager", "delay_s": 20}),
    ("cpu-starvation", {"role": "pager", "share": 0.5, "how": "load"}),
    ("connection-exhaustion", {}),
    ("long-lock", {}),
    ("failing-archive", {}),
    ("read-only-directory", {"role": "pager"}),
    ("flipped-bit", {"role": "pager", "file": "deliveries.jsonl"}),
    ("crash-loop", {"role": "pager", "up_s": 0.2}),
    ("restart", {"role": "pager"}),
    ("full-disk", {"role": "pager"}),
    ("read-only-bucket", {}),
    ("rotated-credential", {"role": "fallback"}),
    ("clock-skew", {"role": "pager", "skew_s": 60}),
    ("deleted-wal-segment", {"where": "live"}),
)
"""Faults that come and go quickly, on a role that starts quickly; every kind of undo is there."""


def run_of(stack: EmbeddedStack, directory: Path) -> Run:
    """The run that such a process believes to be part of."""
    return Run(
        run_id=stack.run_id,
        directory=directory,
        scratch=stack.scratch,
        profile="ci",
        driver="embedded",
        target=stack.name,
        seed=1,
        time_scale=1.0,
    )


def inject_forever(state_file: Path, directory: Path, seed: int, told: Connection) -> None:
    """Inject one fault after another until killed; tells when the first begins."""
    dice = random.Random(seed)
    stack = EmbeddedStack.attach(state_file)
    injector = Injector(stack, run_of(stack, directory), History(directory))
    order = [each for each in dice.sample(FLEETING, len(FLEETING)) if possible(each, stack)]
    # The two processes beside this one come up before the clock of the test runs.
    with injector.inject("pause", role="pager"):
        told.send(os.getpid())
    while True:
        for slug, arguments in order:
            with injector.inject(slug, **arguments):
                time.sleep(dice.uniform(0, 0.1))


def possible(each: tuple[str, dict[str, Any]], stack: EmbeddedStack) -> bool:
    """Whether this user may inject it on this machine."""
    try:
        make_fault(each[0], **each[1]).check_target(stack)
    except NotAllowed:
        return False
    return True


def hold_and_sleep(
    directory: Path, orders: dict[str, dict[str, Any]], patience_s: float, told: Connection
) -> None:
    """Hold a lease with these orders until killed."""
    lease = Lease(directory, "fault_healers:note", directory.with_suffix(".log"), patience_s)
    for name, order in orders.items():
        lease.hold(name, order)
    told.send((os.getpid(), lease.pid))
    time.sleep(300)


def lines(path: Path) -> list[dict[str, Any]]:
    """What a log of JSON lines says so far."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
