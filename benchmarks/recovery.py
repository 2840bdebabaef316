"""What backup, restore, digest and comparison cost: `python -m benchmarks.recovery`.

Boots an embedded stack, fills one collection (256 dimensions, no index), and runs the day-two
scripts against it as an operator would. The digest and a bare scroll of the same data take turns,
each in a process of its own, so that their times compare and their memory is theirs alone. Times
are seconds by the wall clock, memory is the peak resident set of the process. Exit status: 0 when
every bar is kept, 1 when one is missed, 2 when a step could not be carried out.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from harness.checks.collection import Collection
from harness.checks.content import content_verdict, narrow
from harness.checks.digest import Digest, digest
from harness.core.errors import HarnessError, UsageError
from harness.core.run import CHECKOUT
from harness.drivers.embedded import postgres
from harness.drivers.embedded.stack import EmbeddedStack

NAME = "bench-recovery"
DIMENSION = 256
BATCH = 1_000
RATIO = 1.3
MEMORY = 300e6
WHOLE_S = 600.0
"""The digest against a bare scroll; bytes; seconds for a million points, in and out and checked."""
MILLION = 1_000_000
CHANGED = 10
STEP_S = 3600.0


@dataclass(frozen=True)
class Took:
    """One step: seconds by the wall clock, peak resident bytes of its process."""

    seconds: float
    memory: int


@dataclass
class Figures:
    """What was measured for one size; ``content`` is bytes of float32 vectors and payload."""

    points: int
    content: int = 0
    scroll: list[Took] = field(default_factory=list)
    digest: list[Took] = field(default_factory=list)
    steps: dict[str, Took] = field(default_factory=dict)
    object_bytes: int = 0

    @property
    def ratio(self) -> float:
        """The median digest against the median scroll of the same run."""
        return statistics.median(t.seconds for t in self.digest) / statistics.median(
            t.seconds for t in self.scroll
        )


class Bench:
    """One stack, its collection, and the figures so far."""

    def __init__(self, stack: EmbeddedStack, home: Path, points: int, rounds: int) -> None:
        self.stack, self.home, self.rounds = stack, home, rounds
        self.url = stack.endpoint("vectordb").url
        self.key = stack.credentials("vectordb")["api_key"]
        self.figures = Figures(points)

    def run(self, console: Console) -> Figures:
        """Take every measurement, saying what is under way."""
        self._fill(console)
        for number in range(self.rounds):
            for kind, kept in (("scroll", self.figures.scroll), ("digest", self.figures.digest)):
                with told(console, f"{kind}, round {number + 1} of {self.rounds}"):
                    kept.append(self._reading(kind))
        before = self._digest("before")
        with told(console, "backup"):
            self.figures.steps["backup"] = self._script("backup_qdrant.sh", "--full")
        with told(console, "second backup, nothing changed"):
            self.figures.steps["backup, unchanged"] = self._script("backup_qdrant.sh")
        with told(console, "verification"):
            self.figures.steps["verify"] = self._script("verify_backup.sh", "--store", "vectordb")
        with told(console, "restore"):
            self.stack.wipe("vectordb")
            self.stack.start("vectordb")
            day = time.strftime("%Y-%m-%d", time.gmtime())
            self.figures.steps["restore"] = self._script(
                "restore_dr.sh", "--date", day, "--store", "vectordb", "--writers-are-stopped"
            )
        with told(console, "comparison"):
            self._compare(before)
        return self.figures

    def _fill(self, console: Console) -> None:
        source = np.random.default_rng(11)
        headers = {"api-key": self.key, "Content-Type": "application/json"}
        points = self.figures.points
        with (
            httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False) as http,
            Progress(console=console, transient=True) as progress,
        ):
            http.delete(f"/collections/{NAME}")
            settings = {
                "vectors": {"size": DIMENSION, "distance": "Cosine"},
                "optimizers_config": {"indexing_threshold": 0},
            }
            made = http.put(f"/collections/{NAME}", content=orjson.dumps(settings))
            made.raise_for_status()
            bar = progress.add_task(f"filling {points:,} points", total=points)
            began = time.monotonic()
            for first in range(0, points, BATCH):
                count = min(BATCH, points - first)
                vectors = source.standard_normal((count, DIMENSION), dtype=np.float32)
                batch = [
                    {"id": first + at, "vector": vectors[at], "payload": payload(first + at)}
                    for at in range(count)
                ]
                body = orjson.dumps({"points": batch}, option=orjson.OPT_SERIALIZE_NUMPY)
                http.put(f"/collections/{NAME}/points?wait=true", content=body).raise_for_status()
                self.figures.content += count * DIMENSION * 4
                self.figures.content += sum(len(orjson.dumps(p["payload"])) for p in batch)
                progress.advance(bar, count)
        console.print(f"filled {points:,} points in {time.monotonic() - began:.1f} s")

    def _reading(self, kind: str) -> Took:
        told_back, took = self._child([sys.executable, "-m", "benchmarks.recovery", "--read", kind])
        seen = json.loads(told_back)["points"]
        if seen != self.figures.points:
            raise HarnessError(
                f"The {kind} did not see every point.", expected=self.figures.points, actual=seen
            )
        return Took(json.loads(told_back)["seconds"], took.memory)

    def _script(self, name: str, *arguments: str) -> Took:
        out, took = self._child([str(CHECKOUT / "scripts" / name), *arguments])
        for line in out.splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == "finished" and name == "backup_qdrant.sh":
                self.figures.object_bytes = self.figures.object_bytes or int(entry["bytes"])
        return took

    def _child(self, command: Sequence[str]) -> tuple[str, Took]:
        """Run a command to its end; its memory is that of the largest process it waited for."""
        began = time.monotonic()
        with (self.home / "out").open("w+") as out, (self.home / "err").open("w+") as err:
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - began
            out.seek(0)
            err.seek(0)
            if process.returncode:
                raise HarnessError(
                    f"{Path(command[0]).name} {' '.join(command[1:])} failed.",
                    expected="exit code 0",
                    actual=f"{process.returncode}: {err.read()[-800:]}",
                )
            return out.read(), Took(seconds, usage.ru_maxrss * 1024)

    def _environment(self) -> Mapping[str, str]:
        keys = self.stack.credentials("objectstore")
        return {
            "QDRANT_URL": self.url,
            "QDRANT_API_KEY": self.key,
            "S3_ENDPOINT_URL": self.stack.endpoint("objectstore").url,
            "AWS_ACCESS_KEY_ID": keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
            "BACKUP_BUCKET": keys["bucket"],
            "DATABASE_URL": self.stack.credentials("metadata")["admin_dsn"],
            "TMPDIR": str(self.home),
            "PYTHON": sys.executable,
        }

    def _digest(self, moment: str) -> Digest:
        with Collection(self.url, NAME, api_key=self.key, timeout_s=120) as collection:
            return digest(collection, ledger=self.home / f"{moment}.ledger")

    def _compare(self, before: Digest) -> None:
        """Hold the restored content against what it was, then name a few changed points."""
        began = time.monotonic()
        after = self._digest("after")
        verdict = content_verdict(before, after)
        if not verdict.passed:
            raise HarnessError(
                "The restored content differs.", expected=verdict.expected, actual=verdict.actual
            )
        self.figures.steps["compare"] = Took(time.monotonic() - began, 0)
        ids = [(at * 7919) % self.figures.points for at in range(CHANGED)]
        body = {"payload": {"tier": "changed"}, "points": ids}
        httpx.post(
            f"{self.url}/collections/{NAME}/points/payload?wait=true",
            json=body,
            headers={"api-key": self.key},
            timeout=120,
            trust_env=False,
        ).raise_for_status()
        changed = self._digest("changed")
        began = time.monotonic()
        with Collection(self.url, NAME, api_key=self.key, timeout_s=120) as collection:
            found = narrow(before, changed, self.home / "before.ledger", collection)
        if sorted(each.id for each in found.changed) != sorted(set(ids)):
            raise HarnessError(
                "The changed points were not named.", expected=sorted(ids), actual=found.as_json()
            )
        self.figures.steps["name changed points"] = Took(time.monotonic() - began, 0)


def payload(number: int) -> dict[str, Any]:
    """Return a payload in the shape of the gateway's."""
    document = f"doc-{number // 3:07d}"
    return {
        "tenant_id": f"tenant-{number % 10}",
        "persona": "work",
        "document_id": document,
        "chunk_id": f"{document}#1.{number % 3}",
        "ingested_at": "2026-11-22T08:00:00Z",
        "tier": "hot",
        "meta": {"title": f"Document {number // 3}", "section": "One"},
    }


def read(kind: str) -> int:
    """Read the whole collection once, in this process, and print what it took."""
    began = time.monotonic()
    with Collection(
        os.environ["QDRANT_URL"], NAME, api_key=os.environ["QDRANT_API_KEY"], timeout_s=120
    ) as collection:
        if kind == "digest":
            points = digest(collection).count
        else:
            points = sum(len(page) for page in collection.scroll())
    print(json.dumps({"points": points, "seconds": time.monotonic() - began}))
    return 0


@contextmanager
def told(console: Console, what: str) -> Iterator[None]:
    """Say what is under way, and what it took once it is over."""
    began = time.monotonic()
    with console.status(f"{what} ..."):
        yield
    console.print(f"{what}: {time.monotonic() - began:.1f} s")


def show(figures: Figures, console: Console) -> bool:
    """Print one size's table; returns whether every bar is kept."""
    table = Table(
        title=f"\n{figures.points:,} points × {DIMENSION}", title_justify="left", box=None
    )
    for name in ("step", "seconds", "points/s", "MB/s", "peak memory"):
        table.add_column(name, justify="left" if name == "step" else "right")
    rows = {
        "bare scroll (median)": _median(figures.scroll),
        "digest (median)": _median(figures.digest),
        **figures.steps,
    }
    for name, took in rows.items():
        table.add_row(
            name,
            f"{took.seconds:.2f}",
            f"{figures.points / took.seconds:,.0f}",
            f"{figures.content / took.seconds / 1e6:.1f}",
            f"{took.memory / 1e6:.0f} MB" if took.memory else "",
        )
    console.print(table)
    memory = max(took.memory for took in figures.digest)
    whole = sum(figures.steps[name].seconds for name in ("backup", "restore", "verify"))
    bars = [
        (f"digest against scroll {figures.ratio:.2f}", figures.ratio <= RATIO, f"{RATIO}"),
        (f"memory of the digest {memory / 1e6:.0f} MB", memory < MEMORY, f"{MEMORY / 1e6:.0f} MB"),
    ]
    if figures.points >= MILLION:
        bars.append(
            (f"backed up, restored, verified in {whole:.0f} s", whole < WHOLE_S, f"{WHOLE_S:.0f} s")
        )
    for what, kept, bar in bars:
        console.print(f"{'ok' if kept else 'MISSED'}: {what}; bar {bar}")
    console.print(
        f"content {figures.content / 1e6:.0f} MB, in the bucket {figures.object_bytes / 1e6:.0f} MB"
    )
    return all(kept for _, kept, _ in bars)


def _median(taken: list[Took]) -> Took:
    return Took(
        statistics.median(took.seconds for took in taken), max(took.memory for took in taken)
    )


def measure(points: int, rounds: int, console: Console) -> Figures:
    """Boot a stack, measure one size, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="ragdrill-bench-") as directory:
        root = Path(directory)
        with told(console, "boot"):
            stack = EmbeddedStack.boot(
                f"bench-{secrets.token_hex(3)}", root / "scratch", root / "logs"
            )
        try:
            (root / "work").mkdir()
            return Bench(stack, root / "work", points, rounds).run(console)
        finally:
            stack.down()


def main() -> int:
    """Run the benchmark; 0 when every bar is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--points",
        type=int,
        nargs="+",
        default=[100_000],
        metavar="N",
        help="sizes, one stack each (default: 100000; the bars are for 100000 1000000)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--read", choices=("scroll", "digest"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        return read(given.read)
    if min(given.points) < BATCH or given.rounds < 1:
        parser.error(f"--points must be {BATCH} or more, --rounds 1 or more")
    console = Console(stderr=True, highlight=False)
    out = Console(highlight=False)
    out.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first step")
    try:
        postgres.template()
        kept = [show(measure(points, given.rounds, console), out) for points in given.points]
        return 0 if all(kept) else 1
    except UsageError as error:
        print(error, file=sys.stderr)
        return 4
    except (HarnessError, httpx.HTTPError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing is left running", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
