"""A circuit breaker: after a row of failures an upstream is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES_TO_OPEN = 5
OPEN_S = 3.0


class Breaker:
    """Closed, open for `open_s` seconds after `failures` failures in a row, then half open.

    Half open lets one trial through at a time: its success closes the breaker, its failure
    opens it for another `open_s`. `changed` is called with True on opening, False on closing.
    """

    def __init__(
        self,
        changed: Callable[[bool], None] = lambda _open: None,
        *,
        failures: int = FAILURES_TO_OPEN,
        open_s: float = OPEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failed = 0
        self._opened_at: float | None = None
        self._trial_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or half open, that is: not closed."""
        return self._opened_at is not None

    def retry_after_s(self) -> float:
        """Seconds until a trial is let through; 0 when closed."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._open_s - self._clock())

    def allows(self) -> bool:
        """Whether a call may be made now; True when half open makes the caller the trial."""
        if self._opened_at is None:
            return True
        now = self._clock()
        if now < self._opened_at + self._open_s:
            return False
        # A trial that never reports back must not keep the breaker open for ever.
        if self._trial_at is not None and now < self._trial_at + self._open_s:
            return False
        self._trial_at = now
        return True

    def succeeded(self) -> None:
        """Note that a call went well."""
        self._failed = 0
        if self._opened_at is not None:
            self._opened_at = self._trial_at = None
            self._changed(False)

    def failed(self) -> None:
        """Note that a call failed in a way that speaks against the upstream."""
        self._failed += 1
        if self._opened_at is not None:
            # A straggler from before the opening does not lengthen it.
            if self._trial_at is not None:
                self._opened_at = self._clock()
                self._trial_at = None
        elif self._failed >= self._limit:
            self._opened_at = self._clock()
            self._changed(True)
