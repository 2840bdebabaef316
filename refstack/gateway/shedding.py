"""Load shedding: beyond what can be served in time, a request is refused at once, not queued."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from refstack.common.problems import Problem

RETRY_AFTER_S = 1


class Gate:
    """Lets `limit` requests in at a time; `refused` is called for each that is turned away.

    A queue would only let everybody wait until their budget is gone: who is refused within a
    millisecond can go elsewhere, and those inside are served at the speed they are used to.
    """

    def __init__(self, limit: int, refused: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._refused = refused
        self._inside = 0

    @property
    def inside(self) -> int:
        """How many requests are being served."""
        return self._inside

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Count a request in and, however it ends, out. Raises `Problem` 503 when full."""
        if self._inside >= self._limit:
            self._refused()
            raise Problem(
                503,
                f"The service already works on {self._limit} requests and takes no further one.",
                kind="overloaded",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
