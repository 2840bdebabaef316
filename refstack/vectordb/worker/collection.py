"""One collection as its worker holds it: the engine, its settings, and work between requests."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from refstack.vectordb.checks import JsonObject
from refstack.vectordb.config import dense_vectors
from refstack.vectordb.errors import from_engine, service_error
from refstack.vectordb.files import copy_tree_sparse, remove_tree
from refstack.vectordb.worker import storage
from refstack.vectordb.worker.indexes import schema_of
from refstack.vectordb.worker.optimizer import JOURNAL_LIMIT, SLICE_S, Optimization
from refstack.vectordb.worker.points import vector_specs
from refstack.vectordb.worker.updates import Update

FLUSH_IDLE_S = 1.0
FLUSH_AT_LATEST_S = 5.0
OPTIMIZE_IDLE_S = 0.3
OPTIMIZE_AT_LATEST_S = 3.0
RETRY_S = 5.0
SPACE_BYTES = 64 << 20
"""Free space that writes need: two segments of the log, as in the real server."""
POLL_S = 0.05


class Collection:
    """Owns the collection's directory: nobody else writes there while it is open.

    Opening creates the shard of a record in state `creating` and loads that of a `ready` one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        record = storage.read_record(directory)
        self.name: str = record["name"]
        self.config: JsonObject = record["config"]
        self.generation: str = record["generation"]
        storage.sweep(directory, self.generation)
        path = directory / self.generation
        if record["state"] == "creating":
            self.shard = storage.create_shard(path, self.config)
            self._commit(self.generation, self.config)
        else:
            # A shard that is not there is lost data, never an empty collection.
            if not path.is_dir():
                raise FileNotFoundError(f"the data of collection `{self.name}` is gone: no {path}")
            self.shard = storage.load_shard(path, self.config)
        self.specs = vector_specs(self.config)
        self.operation_id = storage.last_version(self.shard) + 1
        self.optimizer_error: str | None = None
        self._optimization: Optimization | None = None
        self._dirty_since: float | None = None
        self._last_write = 0.0
        self._wanted_since: float | None = None
        self._rewritten = 0
        self._forced = False
        self._settled_at: tuple[int, int] | None = None
        self._not_before = 0.0
        self._failed = False

    def _commit(self, generation: str, config: JsonObject) -> None:
        record = {
            "name": self.name,
            "state": "ready",
            "generation": generation,
            "config": config,
        }
        storage.write_record(self.directory, record)
        self.generation, self.config = generation, config
        self.specs = vector_specs(config)

    def apply(self, update: Update) -> int:
        """Apply one operation; returns its number. Raises what the engine raises."""
        if not update.deletes:
            self._check_space()
        if self._failed:
            self._reopen()
        update.check(self)
        self.operation_id += 1
        if update.operation is None:
            return self.operation_id
        before = self.shard.info().points_count
        try:
            self.shard.update(update.operation)
        except Exception as error:
            # After a failure of its own, such as a full disk, the engine takes no more writes.
            self._failed = from_engine(error).status == 500
            raise
        finally:
            # Kept even when it failed: the live shard may have taken a part of it.
            if self._optimization is not None:
                self._optimization.record(update.operation, update.upserted)
        grown = self.shard.info().points_count - before
        self._rewritten += abs(grown) if update.deletes else max(update.upserted - grown, 0)
        now = time.monotonic()
        self._last_write = now
        if self._dirty_since is None:
            self._dirty_since = now
        return self.operation_id

    def _check_space(self) -> None:
        # The engine maps its files, and a write to a map on a full disk kills the process.
        if shutil.disk_usage(self.directory).free < SPACE_BYTES:
            raise service_error(
                "No space left on device: WAL buffer size exceeds available disk space"
            )

    def _reopen(self) -> None:
        """Open the data anew: the log is replayed, so nothing acknowledged is lost."""
        self._drop_optimization()
        self.shard.close()
        self.shard = storage.load_shard(self.directory / self.generation, self.config)
        self._failed = False

    def flush(self) -> None:
        """Write everything to the segments' files, so that the log need not be replayed."""
        self.shard.flush()
        self._dirty_since = None

    def reconfigure(self, config: JsonObject) -> None:
        """Reopen the same data under other settings; segments follow by optimization."""
        self._drop_optimization()
        old = self.config
        self.shard.close()
        path = self.directory / self.generation
        try:
            self.shard = storage.load_shard(path, config)
        except Exception:
            self.shard = storage.load_shard(path, old)
            raise
        self._commit(self.generation, config)
        self._forced = True

    def rewrite_config(self, config: JsonObject) -> None:
        """Record settings that the engine has already followed."""
        self._drop_optimization()
        self._commit(self.generation, config)

    def adopt(self, generation: str, config: JsonObject) -> None:
        """Replace all content by that of another generation, which lies in the directory."""
        self._drop_optimization()
        try:
            shard = storage.load_shard(self.directory / generation, config)
            shard.flush()
        except Exception:
            remove_tree(self.directory / generation)
            raise
        self._switch(shard, generation, config)
        self.operation_id = max(self.operation_id, storage.last_version(shard) + 1)
        self._settled_at = None

    def _switch(self, shard: Any, generation: str, config: JsonObject) -> None:
        old_shard, old_generation = self.shard, self.generation
        self._commit(generation, config)
        self.shard = shard
        self._dirty_since = time.monotonic()
        old_shard.close()
        remove_tree(self.directory / old_generation)

    def export(self, target: Path) -> JsonObject:
        """Copy the flushed data to `target`; returns what a snapshot has to record."""
        self.flush()
        copy_tree_sparse(self.directory / self.generation, target)
        info = self.shard.info()
        return {
            "config": self.config,
            "payload_schema": {name: schema_of(i) for name, i in info.payload_schema.items()},
            "points_count": info.points_count,
        }

    def _unindexed_kib(self, info: Any) -> float:
        vectors = dense_vectors(self.config["params"])
        if not vectors:
            return 0.0
        open_vectors = max(info.points_count * len(vectors) - info.indexed_vectors_count, 0)
        widest: int = max(vector["size"] for vector in vectors.values())
        return float(open_vectors * widest * 4 / 1024)

    def wants_optimization(self) -> bool:
        """Whether the engine's optimizers probably have something to do.

        Only they know for sure, so what they left as it was is not asked about again before a
        tenth more has changed.
        """
        if self._forced:
            return True
        info = self.shard.info()
        optimizer = self.config["optimizer_config"]
        threshold = optimizer["indexing_threshold"]
        indexing = threshold > 0 and self._unindexed_kib(info) > threshold
        vacuum = self._rewritten > max(
            optimizer["vacuum_min_vector_number"] * optimizer["deleted_threshold"],
            info.points_count * optimizer["deleted_threshold"],
        )
        if not (indexing or vacuum):
            return False
        if self._settled_at is not None:
            points, rewritten = self._settled_at
            moved = abs(info.points_count - points) + abs(self._rewritten - rewritten)
            return moved > max(points // 10, 100)
        return True

    @property
    def optimizing(self) -> bool:
        """Whether an optimization is under way."""
        return self._optimization is not None

    def wait_s(self) -> float | None:
        """How long the worker may sleep until there is work between requests; None: for ever."""
        if self._optimization is not None:
            return POLL_S
        due = self._dirty_since is not None or self._wanted_since is not None or self._forced
        if due or self.optimizer_error is not None:
            return 0.1
        return None

    def tick(self) -> None:
        """Do what is due between two requests, in short slices."""
        now = time.monotonic()
        quiet = now - self._last_write
        if self._optimization is not None:
            self._advance(self._optimization)
            return
        if now < self._not_before:
            return
        if self._dirty_since is not None and (
            quiet > FLUSH_IDLE_S or now - self._dirty_since > FLUSH_AT_LATEST_S
        ):
            self.flush()
        if not self.wants_optimization():
            self._wanted_since = None
            self.optimizer_error = None
            return
        if self._wanted_since is None:
            self._wanted_since = now
        if quiet > OPTIMIZE_IDLE_S or now - self._wanted_since > OPTIMIZE_AT_LATEST_S:
            self._check_space()
            self.flush()
            self._optimization = Optimization(
                self.directory, self.generation, storage.new_generation(), self.config
            )
            self._wanted_since = None
            self._forced = False

    def tick_failed(self, error: Exception) -> None:
        """Work between requests failed: show it, and try again later."""
        self.optimizer_error = str(error)
        self._not_before = time.monotonic() + RETRY_S
        if self._optimization is not None:
            self._forced = True
            with contextlib.suppress(Exception):
                self._drop_optimization()

    def _advance(self, optimization: Optimization) -> None:
        if optimization.running():
            if optimization.journal_points > JOURNAL_LIMIT:
                self._drop_optimization()
            return
        self.optimizer_error = optimization.error
        if optimization.error is not None:
            self._not_before = time.monotonic() + RETRY_S
            self._forced = True
            self._drop_optimization()
            return
        if not optimization.changed:
            self._settled_at = (self.shard.info().points_count, self._rewritten)
            self._drop_optimization()
            return
        if optimization.catch_up(SLICE_S):
            self._optimization = None
            self._rewritten = 0
            self._settled_at = None
            self._switch(optimization.take(), optimization.target, self.config)

    def _drop_optimization(self) -> None:
        optimization, self._optimization = self._optimization, None
        if optimization is not None:
            optimization.discard()

    def close(self) -> None:
        """Flush and let go of the directory."""
        self._drop_optimization()
        self.shard.close()
