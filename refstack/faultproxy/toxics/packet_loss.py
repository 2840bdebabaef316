"""`packet_loss`: drops chunks at random, in bursts if asked."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Outlet, Stage


@dataclass(frozen=True)
class Settings:
    """Probability of losing a chunk, and what is added to it right after a lost one.

    Both are taken as 0 below 0 and as 1 above 1.
    """

    loss_rate: float = 0
    correlation: float = 0


@register("packet_loss", Settings)
class PacketLoss(Stage):
    """Drops whole chunks; the end of the stream is not passed on while the toxic is there."""

    _lost_last = False

    def step(self, out: Outlet, now: float) -> bool:
        """Draw for each chunk."""
        moved = False
        while self.inbox and out.room():
            chunk = self.inbox.popleft()
            self._lost_last = self.rng.random() < self._probability()
            if not self._lost_last:
                out.feed(chunk)
            moved = True
        return moved

    def _probability(self) -> float:
        settings = self.toxic.settings
        probability = _clamped(settings.loss_rate)
        if self._lost_last:
            probability += _clamped(settings.correlation)
        return probability


def _clamped(value: float) -> float:
    return min(max(value, 0.0), 1.0)
