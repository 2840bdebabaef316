"""A quota of requests, as a provider gives one: so many a minute, and 429 beyond."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from refstack.embed.api import ApiError


class Quota:
    """A bucket of `per_minute` requests that fills up again evenly; 0 is no quota."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._at = clock()

    def take(self) -> None:
        """Count a request. Raises `ApiError` 429, with the time until the next one, when spent."""
        if not self._limit:
            return
        now = self._clock()
        self._left = min(self._limit, self._left + (now - self._at) * self._limit / 60)
        self._at = now
        if self._left < 1:
            wait_s = math.ceil((1 - self._left) * 60 / self._limit)
            raise ApiError(
                429,
                f"Rate limit reached: {self._limit} requests per minute. "
                f"Please try again in {wait_s}s.",
                kind="requests",
                code="rate_limit_exceeded",
                headers={
                    "Retry-After": str(wait_s),
                    "x-ratelimit-limit-requests": str(self._limit),
                    "x-ratelimit-remaining-requests": "0",
                },
            )
        self._left -= 1
