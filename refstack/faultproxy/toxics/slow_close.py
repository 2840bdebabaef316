"""`slow_close`: delays the end of the connection, not its data."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Outlet, Stage


@dataclass(frozen=True)
class Settings:
    """Milliseconds between one side's end of stream and its arrival on the other."""

    delay: int = 0


@register("slow_close", Settings)
class SlowClose(Stage):
    """Lets data through and holds back the end of stream."""

    def begin(self, now: float) -> None:
        """An update starts the wait afresh."""
        self._over_at: float | None = None

    def step(self, out: Outlet, now: float) -> bool:
        """Pass the data; pass the end once its delay is over."""
        moved = False
        while self.inbox and out.room():
            out.feed(self.inbox.popleft())
            moved = True
        if self.inbox or not self.input_over:
            return moved
        if self._over_at is None:
            self._over_at = now
        due = self._over_at + self.toxic.settings.delay / 1000
        if now < due:
            self.deadline = due
            return moved
        self.close(out)
        return True
