"""How long a stack takes to boot and to end, and how much memory it holds.

`python -m benchmarks.boot [--runs 5] [--driver embedded|containers]`: medians and ranges, and the
bar each figure is held to. What is made once per machine is made before the first run: the template
of the metadata store, or the images (`make images`). Exit status 1 when a median misses its bar, 2
when a stack does not come up.
Memory is the sum of the proportional set sizes of every process, the keeper's included, right after
the boot; of containers only what runs beside the engine and may be looked at.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.core.errors import TargetError
from harness.drivers.embedded import postgres, procfs
from harness.drivers.embedded.running import processes
from harness.drivers.embedded.stack import EmbeddedStack

BARS = {"embedded": {"ready": 5.0, "memory": 1.2e9}, "containers": {"ready": 25.0}}
"""By driver: seconds until every role is ready; bytes."""


@dataclass(frozen=True)
class Sample:
    """One boot: seconds until ready, seconds per part, bytes per process, seconds to end."""

    ready_s: float
    parts_s: dict[str, float]
    memory: dict[str, int]
    down_s: float


Booted = tuple[Any, Callable[[], dict[str, int]]]
"""A stack, and what tells the bytes of memory by process."""


def measure(root: Path, driver: str) -> Sample:
    """Boot a stack, look at it and end it."""
    name = f"bench-{secrets.token_hex(3)}"
    began = time.monotonic()
    stack, memory_of = BOOT[driver](name, root)
    ready_s = time.monotonic() - began
    memory = memory_of()
    memory["keeper"] = procfs.memory(stack.keeper.call("status")["pid"])[1]
    began = time.monotonic()
    stack.down()
    return Sample(ready_s, stack.boot_seconds, memory, time.monotonic() - began)


def embedded(name: str, root: Path) -> Booted:
    """Boot a stack of processes."""
    stack = EmbeddedStack.boot(name, root / "scratch", root / "logs")
    return stack, lambda: {each.name: each.proportional for each in processes(stack)}


def containers(name: str, root: Path) -> Booted:
    """Boot a stack of containers from local images; EngineError where no engine answers."""
    from harness.drivers.containers.bringup import Options
    from harness.drivers.containers.recipes import PARTS
    from harness.drivers.containers.stack import ContainerStack

    stack = ContainerStack.boot(name, root / "scratch", root / "logs", Options(source="local"))

    def memory() -> dict[str, int]:
        fleet = stack.fleet
        return {
            part: sum(procfs.memory(pid)[1] for pid in fleet.pids(part))
            for part in PARTS
            if fleet.is_running(part)
        }

    return stack, memory


BOOT: dict[str, Callable[[str, Path], Booted]] = {"embedded": embedded, "containers": containers}


def show(samples: list[Sample], driver: str) -> bool:
    """Print the tables; returns whether every median keeps its bar."""
    bars = BARS[driver]
    console = Console(highlight=False)
    totals = Table(title=f"{driver}: a stack, {len(samples)} boots", title_justify="left", box=None)
    for name in ("figure", "median", "least", "most", "bar", ""):
        totals.add_column(name, justify="left" if name == "figure" else "right")
    memory = [sum(sample.memory.values()) for sample in samples]
    kept = True
    for name, values, bar, form in (
        ("ready", [sample.ready_s for sample in samples], bars["ready"], "{:.2f} s"),
        ("memory (PSS)", memory, bars.get("memory"), "{:.0f} MB"),
        ("down", [sample.down_s for sample in samples], None, "{:.2f} s"),
    ):
        shown = [v / 1e6 if "MB" in form else v for v in values]
        middle = statistics.median(values)
        held = bar is None or middle < bar
        kept &= held
        limit = "" if bar is None else form.format(bar / 1e6 if "MB" in form else bar)
        totals.add_row(
            name,
            form.format(statistics.median(shown)),
            form.format(min(shown)),
            form.format(max(shown)),
            limit,
            "" if bar is None else ("ok" if held else "MISSED"),
        )
    console.print(totals)
    parts = Table(title="\nMedian of each part", title_justify="left", box=None)
    for name in ("part", "ready after", "memory"):
        parts.add_column(name, justify="left" if name == "part" else "right")
    names = dict.fromkeys(name for sample in samples for name in (*sample.parts_s, *sample.memory))
    for name in names:
        times = [sample.parts_s[name] for sample in samples if name in sample.parts_s]
        sizes = [sample.memory[name] / 1e6 for sample in samples if name in sample.memory]
        parts.add_row(
            name,
            f"{statistics.median(times):.2f} s" if times else "",
            f"{statistics.median(sizes):.0f} MB" if sizes else "",
        )
    console.print(parts)
    return kept


def main() -> int:
    """Run the benchmark; 0 when every bar is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--driver", choices=tuple(BOOT), default="embedded")
    options = parser.parse_args()
    runs: int = options.runs
    driver: str = options.driver
    if runs < 1:
        parser.error(f"--runs must be 1 or more; it is {runs}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before the first boot")
    if driver == "embedded":
        postgres.template()
    with tempfile.TemporaryDirectory(prefix="ragdrill-bench-") as root:
        try:
            return 0 if show([measure(Path(root), driver) for _ in range(runs)], driver) else 1
        except TargetError as error:
            print(error, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
