"""`slicer`: cuts data into small packets with a delay after each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Chunk, Outlet, Stage

CATCH_UP_S = 0.005
"""How far the pace may fall behind and still be made up: timers of the loop may be late."""


@dataclass(frozen=True)
class Settings:
    """Average size of a slice and its variation in bytes; delay after each in microseconds."""

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0

    def __post_init__(self) -> None:
        # These sizes overflow the stack of the original or make it panic.
        if self.average_size < 1:
            raise ValueError(f"average_size must be 1 or more (in bytes), got {self.average_size}")
        if not 0 <= self.size_variation < self.average_size:
            raise ValueError(
                f"size_variation must be from 0 to {self.average_size - 1} "
                f"(less than average_size), got {self.size_variation}"
            )


@register("slicer", Settings)
class Slicer(Stage):
    """Halves a chunk, at a place moved by the variation, until the parts are small enough."""

    def begin(self, now: float) -> None:
        """Nothing is in hand."""
        self._slices: deque[bytes] = deque()
        self._next_at = 0.0

    def step(self, out: Outlet, now: float) -> bool:
        """Pass the slices whose time has come."""
        moved = False
        while self.inbox or self._slices:
            if now < self._next_at:
                self.deadline = self._next_at
                return moved
            if not out.room():
                return moved
            if not self._slices:
                self._slices.extend(self._cut(self.inbox[0].data))
            out.feed(Chunk(self._slices.popleft(), self.inbox[0].at))
            if not self._slices:
                self.inbox.popleft()
            pace_from = max(self._next_at, now - CATCH_UP_S)
            self._next_at = pace_from + max(self.toxic.settings.delay, 0) / 1e6
            moved = True
        if self.input_over and now < self._next_at:
            self.deadline = self._next_at
            return moved
        return self.forward(out) or moved

    def interrupt(self, out: Outlet) -> None:
        """Release the rest of the chunk in hand in one piece."""
        if self._slices:
            out.feed(Chunk(b"".join(self._slices), self.inbox.popleft().at))
            self._slices.clear()

    def _cut(self, data: bytes) -> list[bytes]:
        settings = self.toxic.settings
        variation = settings.size_variation
        slices: list[bytes] = []
        todo = [(0, len(data))]
        while todo:
            begin, end = todo.pop()
            if end - begin <= settings.average_size + variation:
                slices.append(data[begin:end])
                continue
            middle = begin + (end - begin) // 2
            if variation:
                middle += self.rng.randrange(-variation, variation)
            todo += [(middle, end), (begin, middle)]
        return slices
