"""Slows down who guesses passwords: a bounded count of failed attempts for each account."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable


class Limiter:
    """At most `most` failed attempts in `window_s` seconds for one name.

    An attempt counts from its begin and is taken back on success, so that guessing in parallel
    gains nothing. Holds `names` names; the one that tried longest ago is forgotten first.
    """

    def __init__(
        self,
        most: int,
        window_s: float,
        names: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._window = window_s
        self._names = names
        self._clock = clock
        self._attempts: OrderedDict[str, list[float]] = OrderedDict()

    def begin(self, name: str) -> int:
        """Count an attempt; returns 0, or the seconds to wait where there were too many."""
        now = self._clock()
        recent = [at for at in self._attempts.get(name, ()) if now - at < self._window]
        if len(recent) >= self._most:
            return max(1, math.ceil(self._window - (now - recent[0])))
        self._attempts[name] = [*recent, now]
        self._attempts.move_to_end(name)
        while len(self._attempts) > self._names:
            self._attempts.popitem(last=False)
        return 0

    def succeeded(self, name: str) -> None:
        """Forget the name's attempts."""
        self._attempts.pop(name, None)
