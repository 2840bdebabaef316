"""How long the embedded stack takes to boot and to end, and how much memory it holds.

`python benchmarks/boot.py [--runs 5]`: medians and ranges, and the bar each figure is held to. The
template of the metadata store is made before the first run, as it is once per machine. Exit status
1 when a median misses its bar. Memory is the sum of the proportional set sizes of every process,
the keeper's included, right after the boot.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.drivers.embedded import postgres, procfs
from harness.drivers.embedded.running import processes
from harness.drivers.embedded.stack import EmbeddedStack

BARS = {"ready": 5.0, "memory": 1.2e9}
"""Seconds until every role is ready; bytes."""


@dataclass(frozen=True)
class Sample:
    """One boot: seconds until ready, seconds per part, bytes per process, seconds to end."""

    ready_s: float
    parts_s: dict[str, float]
    memory: dict[str, int]
    down_s: float


def measure(root: Path) -> Sample:
    """Boot a stack, look at it and end it."""
    began = time.monotonic()
    stack = EmbeddedStack.boot(f"bench-{secrets.token_hex(3)}", root / "scratch", root / "logs")
    ready_s = time.monotonic() - began
    memory = {process.name: process.proportional for process in processes(stack)}
    memory["keeper"] = procfs.memory(stack.keeper.call("status")["pid"])[1]
    began = time.monotonic()
    stack.down()
    return Sample(ready_s, stack.boot_seconds, memory, time.monotonic() - began)


def show(samples: list[Sample]) -> bool:
    """Print the tables; returns whether every median keeps its bar."""
    console = Console(highlight=False)
    totals = Table(title=f"Embedded stack, {len(samples)} boots", title_justify="left", box=None)
    for name in ("figure", "median", "least", "most", "bar", ""):
        totals.add_column(name, justify="left" if name == "figure" else "right")
    memory = [sum(sample.memory.values()) for sample in samples]
    kept = True
    for name, values, bar, form in (
        ("ready", [sample.ready_s for sample in samples], BARS["ready"], "{:.2f} s"),
        ("memory (PSS)", memory, BARS["memory"], "{:.0f} MB"),
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
    runs: int = parser.parse_args().runs
    if runs < 1:
        parser.error(f"--runs must be 1 or more; it is {runs}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before the first boot")
    postgres.template()
    with tempfile.TemporaryDirectory(prefix="ragdrill-bench-") as root:
        return 0 if show([measure(Path(root)) for _ in range(runs)]) else 1


if __name__ == "__main__":
    sys.exit(main())
