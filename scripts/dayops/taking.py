"""What both backup scripts do around a backup: one at a time, whole or not at all, then prune."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from harness.core.errors import HarnessError
from scripts.dayops import prune
from scripts.dayops.bucket import Bucket
from scripts.dayops.manifest import NAME, Run
from scripts.dayops.script import Task


class Taking(Protocol):
    """A backup of one store that is about to be taken."""

    run: Run
    bucket: Bucket

    def take(self) -> dict[str, Any]:
        """Take it; returns what the last log line tells. Raises HarnessError."""
        ...


def take(task: Task, backup: Taking) -> None:
    """Take the backup. Whatever ends it early, nothing of it stays in the bucket."""
    try:
        task.told.update(backup.take())
    except BaseException:
        with contextlib.suppress(HarnessError):
            forget(backup.bucket, backup.run)
        raise


def forget(bucket: Bucket, run: Run) -> None:
    """Remove what an interrupted run has put into the bucket so far, unless it is whole."""
    keys = [each.key for each in bucket.objects(f"{run.id}/")]
    if keys and run.key(NAME) not in keys:
        bucket.remove(keys)


def clear_out(
    task: Task,
    bucket: Bucket,
    store: str,
    more: Callable[[], dict[str, Any]] = dict[str, Any],
) -> None:
    """Remove what the policy no longer keeps; ``more`` removes what only this store has."""
    if task.arguments.no_prune:
        return
    with task.log.step("prune") as found:
        policy = prune.policy_of(task.arguments)
        found["pruned"] = prune.prune(bucket, store, policy, task.log)
        found.update(more())
