"""`limit_data`: closes the connection after a number of bytes."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Chunk, Outlet, Stage


@dataclass(frozen=True)
class Settings:
    """Bytes that pass before the link is closed; 0 closes it on its first data."""

    bytes: int = 0


@register("limit_data", Settings)
class LimitData(Stage):
    """Passes exactly the limit, counted from when the toxic was put on the link."""

    _passed = 0

    def step(self, out: Outlet, now: float) -> bool:
        """Pass what the limit leaves, then close."""
        limit = self.toxic.settings.bytes
        moved = False
        while self.inbox and out.room():
            chunk = self.inbox.popleft()
            data = chunk.data[: max(limit - self._passed, 0)]
            if data:
                out.feed(Chunk(data, chunk.at))
                self._passed += len(data)
            if self._passed >= limit:
                self.close(out)
                return True
            moved = True
        if self.inbox:
            return moved
        return self.forward(out) or moved
