"""`latency`: delays everything that passes, one way."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Outlet, Stage


@dataclass(frozen=True)
class Settings:
    """Milliseconds; the delay is uniform in [latency - jitter, latency + jitter)."""

    latency: int = 0
    jitter: int = 0


@register("latency", Settings)
class Latency(Stage):
    """Each chunk leaves its delay after it was received, in order; stacked delays add.

    The inbox holds 1024 chunks, so a delay never turns into a limit on small flows, and a
    sender that outruns it is held back with at most 32 MiB taken in.
    """

    capacity = 1024

    def begin(self, now: float) -> None:
        """Forget the delay drawn under the old settings."""
        self._due: float | None = None
        self._last_due = 0.0

    def step(self, out: Outlet, now: float) -> bool:
        """Let out every chunk that is due."""
        moved = False
        while self.inbox:
            head = self.inbox[0]
            if self._due is None:
                # A late draw may not overtake the chunk before it: the stream keeps its order.
                self._due = max(head.at + self._delay(), self._last_due)
            if now < self._due:
                self.deadline = self._due
                return moved
            if not out.room():
                return moved
            self.inbox.popleft()
            head.at = self._last_due = self._due
            self._due = None
            out.feed(head)
            moved = True
        return self.forward(out) or moved

    def interrupt(self, out: Outlet) -> None:
        """Release the chunk that is waiting."""
        if self.inbox:
            out.feed(self.inbox.popleft())
            self._due = None

    def _delay(self) -> float:
        settings = self.toxic.settings
        delay_ms: float = settings.latency
        if settings.jitter > 0:
            delay_ms += self.rng.uniform(-settings.jitter, settings.jitter)
        return max(delay_ms, 0) / 1000
