"""`bandwidth`: limits how fast data passes."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Chunk, Outlet, Stage

SLICE_S = 0.1
"""A chunk that takes longer than this is passed in parts of this length, as in Toxiproxy."""


@dataclass(frozen=True)
class Settings:
    """Rate in units of 1000 bytes a second; 0 lets nothing through."""

    rate: int = 0

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate must be 0 or more (in kB/s, 0 stops all data), got {self.rate}")


@register("bandwidth", Settings)
class Bandwidth(Stage):
    """Each chunk takes its size divided by the rate to pass.

    At rate 0 the data is held, not dropped: it passes when the rate is raised or the toxic goes.
    """

    def begin(self, now: float) -> None:
        """Time what is in hand by the new rate."""
        self._due: float | None = None
        self._late_s = 0.0
        self._blocked = False

    def step(self, out: Outlet, now: float) -> bool:
        """Pass on the parts whose time has come."""
        rate = self.toxic.settings.rate
        moved = False
        while self.inbox and rate:
            head = self.inbox[0]
            size = min(len(head.data), int(rate * 1000 * SLICE_S))
            if self._due is None:
                # What the timer overslept is taken off the next part, so the rate holds.
                self._due = now + size / (rate * 1000) - self._late_s
            if now < self._due:
                self.deadline = self._due
                return moved
            if not out.room():
                self._blocked = True
                return moved
            self._late_s = 0.0 if self._blocked else min(now - self._due, SLICE_S)
            self._blocked = False
            out.feed(Chunk(head.data[:size], head.at))
            if size < len(head.data):
                head.data = head.data[size:]
            else:
                self.inbox.popleft()
            self._due = None
            moved = True
        if self.inbox:
            return moved
        return self.forward(out) or moved

    def interrupt(self, out: Outlet) -> None:
        """Release what is left of the chunk in hand."""
        if self.inbox:
            out.feed(self.inbox.popleft())
            self._due = None
