"""Locks between the processes of one run: shared for quiet cases, exclusive for loud ones."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the run's lock at ``path``, shared or exclusive, until the block ends.

    A turnstile file beside it keeps a stream of shared holders from starving an exclusive one:
    whoever waits for the lock holds the turnstile, so nobody overtakes. The kernel drops both when
    the process dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    turnstile = _open(path.with_name(path.name + ".turnstile"))
    try:
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        lock = _open(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            fcntl.flock(turnstile, fcntl.LOCK_UN)
            yield
        finally:
            os.close(lock)
    finally:
        os.close(turnstile)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
