"""Builds indexes on a copy of the data, in a process of its own, and brings the copy up to date.

The engine holds the interpreter's lock while it optimizes, for seconds. So the worker copies the
flushed directory (sparse files, a fraction of a second for 100 MB), lets another process optimize
the copy, keeps the operations that arrive meanwhile, applies them to the optimized copy in slices
between requests, and then switches over.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import qdrant_edge as edge

from refstack.vectordb.checks import JsonObject
from refstack.vectordb.files import copy_tree_sparse, die_with_parent, remove_tree
from refstack.vectordb.worker.storage import load_shard

SLICE_S = 0.02
JOURNAL_LIMIT = 2_000_000


class Optimization:
    """One run: copy, optimize, catch up. `journal` collects operations from the copy on."""

    def __init__(self, directory: Path, generation: str, target: str, config: JsonObject) -> None:
        self.target = target
        self.journal: list[Any] = []
        self.journal_points = 0
        self.changed = False
        self.error: str | None = None
        self._directory = directory
        self._config = config
        self._copy: edge.EdgeShard | None = None
        self._applied = 0
        self._path = directory / target
        try:
            copy_tree_sparse(directory / generation, self._path)
        except OSError:
            remove_tree(self._path)
            raise
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._path), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(config))
        self._process.stdin.close()

    def record(self, operation: Any, points: int) -> None:
        """Keep an operation that the live shard has taken."""
        self.journal.append(operation)
        self.journal_points += points

    def running(self) -> bool:
        """Whether the other process is still at it. Reads its result once it is not."""
        if self._copy is not None or self.error is not None:
            return False
        if self._process.poll() is None:
            return True
        assert self._process.stdout is not None
        answer = self._process.stdout.read()
        self._process.stdout.close()
        if self._process.returncode != 0:
            self.error = f"the optimizer process ended with status {self._process.returncode}"
            return False
        self.changed = bool(orjson.loads(answer)["changed"])
        if self.changed:
            self._copy = load_shard(self._path, self._config)
        return False

    def catch_up(self, budget_s: float) -> bool:
        """Apply kept operations to the copy for at most `budget_s`; True when none is left."""
        if self._copy is None:
            raise RuntimeError("there is no optimized copy to bring up to date")
        give_up = time.monotonic() + budget_s
        while self._applied < len(self.journal):
            operation = self.journal[self._applied]
            self.journal[self._applied] = None
            self._applied += 1
            # One that failed on the live shard fails here in the same way.
            with contextlib.suppress(Exception):
                self._copy.update(operation)
            if time.monotonic() > give_up:
                break
        return self._applied == len(self.journal)

    def take(self) -> edge.EdgeShard:
        """The optimized shard, which the caller now owns."""
        if self._copy is None:
            raise RuntimeError("there is no optimized copy")
        shard, self._copy = self._copy, None
        return shard

    def discard(self) -> None:
        """End the process and remove the copy."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._copy is not None:
            self._copy.close()
            self._copy = None
        remove_tree(self._path)


def main() -> int:
    """`python -m refstack.vectordb.worker.optimizer DIRECTORY PARENT < config`."""
    path, parent = Path(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    # Requests come first: they share the processors with this.
    os.nice(10)
    shard = load_shard(path, orjson.loads(sys.stdin.buffer.read()))
    changed = shard.optimize()
    shard.flush()
    shard.close()
    print(orjson.dumps({"changed": changed}).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
