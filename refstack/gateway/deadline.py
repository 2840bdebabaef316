"""The time that a request has left, shared by all its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_abandoned: set[asyncio.Task[Any]] = set()


class Deadline:
    """A moment, `seconds` from now, after which a request has no more time."""

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + seconds

    def remaining(self) -> float:
        """Seconds left, never less than 0."""
        return max(0.0, self._end - self._clock())

    def within(self, seconds: float) -> float:
        """The given seconds, or what is left if that is less."""
        return min(seconds, self.remaining())


async def bounded(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Await `work` for at most `seconds`; raises `TimeoutError` at once when they are over.

    Unlike `asyncio.wait_for` it does not wait for the cancelled work to end: a database driver
    spends seconds on taking leave of a server that no longer answers.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if done:
        return task.result()
    _abandon(task)
    raise TimeoutError


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # taken note of, or the event loop would log it as never retrieved
