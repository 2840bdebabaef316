"""`timeout`: lets nothing through, and closes the connection after a while."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Outlet, Stage


@dataclass(frozen=True)
class Settings:
    """Milliseconds without data until the connection is closed; 0 never closes it."""

    timeout: int = 0


@register("timeout", Settings)
class Timeout(Stage):
    """Drops all data; every chunk that arrives starts the wait afresh.

    Removal closes the link, spared or not: bytes may be missing from its stream.
    """

    def begin(self, now: float) -> None:
        """Start the wait."""
        self._since = now

    def step(self, out: Outlet, now: float) -> bool:
        """Drop what came and close when the wait is over."""
        if self.inbox:
            self.inbox.clear()
            self._since = now
        timeout_s = self.toxic.settings.timeout / 1000
        expired = timeout_s > 0 and now >= self._since + timeout_s
        if self.input_over or expired:
            self.close(out)
            return True
        if timeout_s > 0:
            self.deadline = self._since + timeout_s
        return False

    def on_remove(self, out: Outlet) -> None:
        """Close the link."""
        self.close(out)
