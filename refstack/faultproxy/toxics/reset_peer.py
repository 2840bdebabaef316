"""`reset_peer`: resets the connection a while after its first data."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Outlet, Stage


@dataclass(frozen=True)
class Settings:
    """Milliseconds between the first data and the reset."""

    timeout: int = 0


@register("reset_peer", Settings)
class ResetPeer(Stage):
    """Drops the first data (or the end of stream), waits, and closes.

    Connections that began with the toxic present are closed by RST, older ones by FIN.
    """

    hard_close = True
    _doomed_at: float | None = None

    def room(self) -> bool:
        """Nothing more is read once the reset is on its way."""
        return self._doomed_at is None and super().room()

    def step(self, out: Outlet, now: float) -> bool:
        """Drop, wait, close."""
        if self._doomed_at is None:
            if not self.inbox and not self.input_over:
                return False
            self.inbox.clear()
            self._doomed_at = now
        due = self._doomed_at + self.toxic.settings.timeout / 1000
        if now < due:
            self.deadline = due
            return False
        self.close(out)
        return True

    def committed(self) -> bool:
        """Data is missing already, so the link can't be spared any more."""
        return self._doomed_at is not None

    def on_remove(self, out: Outlet) -> None:
        """A link with data missing is closed at once instead of living on."""
        if self.committed():
            self.close(out)
