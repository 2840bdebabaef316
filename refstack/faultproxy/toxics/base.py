"""What a toxic is: settings kept per proxy, and a stage at work on each link.

A link is one direction of one connection. Its stages form a pipeline: every stage takes chunks
into its inbox and hands them to its outlet, which is the next stage or the socket at the end.
Nothing blocks: a stage that has to wait sets its `deadline` and is stepped again by then.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

CHUNK_BYTES = 32 * 1024
"""The most that one chunk holds, as in Toxiproxy (one read of Go's `io.Copy`)."""


class Chunk:
    """Bytes of one socket read and the monotonic time in seconds that they count from."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: float) -> None:
        self.data = data
        self.at = at


class Outlet(Protocol):
    """Where a stage puts what it lets through."""

    def room(self) -> bool:
        """Whether a chunk would be taken now; putting one regardless never loses it."""

    def feed(self, chunk: Chunk) -> None:
        """Take a chunk."""

    def end(self) -> None:
        """No more chunks will come."""


class Toxic(Protocol):
    """The part of a configured toxic that a stage reads, fresh at every use."""

    settings: Any
    toxicity: float


class Place(Protocol):
    """Where a stage works: the link, as far as a stage that looks beyond it needs to know."""

    def watch_other_direction(self, look: Callable[[bytes], None]) -> None:
        """Have `look` called with everything that is read on the other direction, from now on."""

    def unwatch(self, look: Callable[[bytes], None]) -> None:
        """End a watch."""


class Stage:
    """A toxic at work on one link; by itself it lets everything through.

    A toxic type overrides `step` and, where it holds something, the hooks below it. Its
    settings are the fields of a frozen dataclass, given as `settings_type`.
    """

    type_name: ClassVar[str]
    settings_type: ClassVar[type]
    capacity: ClassVar[int] = 1
    hard_close: ClassVar[bool] = False
    """Whether connections that begin with this toxic are closed by RST instead of FIN."""

    only_stream: ClassVar[str | None] = None
    """The only stream that the toxic works on, None for both."""

    def __init__(self, toxic: Toxic, rng: random.Random) -> None:
        self.toxic = toxic
        self.rng = rng
        self.inbox: deque[Chunk] = deque()
        self.input_over = False
        self.closed = False
        self.active = False
        self.deadline: float | None = None

    # The side that the stage before this one sees.

    def room(self) -> bool:
        """Whether the stage takes a chunk now."""
        return len(self.inbox) < self.capacity and not self.closed

    def feed(self, chunk: Chunk) -> None:
        """Take a chunk."""
        self.inbox.append(chunk)

    def end(self) -> None:
        """No more chunks will come."""
        self.input_over = True

    # The side that the link drives.

    def start(self, now: float) -> None:
        """Draw whether this link is affected, then begin."""
        if not self.committed():
            self.active = self.rng.random() < self.toxic.toxicity
        if self.active:
            self.begin(now)

    def advance(self, out: Outlet, now: float) -> bool:
        """Move what can be moved; True when anything was."""
        self.deadline = None
        return self.step(out, now) if self.active else self.forward(out)

    def close(self, out: Outlet) -> None:
        """End the stream here, whatever is still in the inbox."""
        self.closed = True
        self.deadline = None
        out.end()

    def forward(self, out: Outlet) -> bool:
        """Let everything through, end of stream included."""
        moved = False
        while self.inbox and out.room():
            out.feed(self.inbox.popleft())
            moved = True
        if self.input_over and not self.inbox:
            self.close(out)
            return True
        return moved

    # What a toxic type overrides.

    def placed(self, place: Place) -> None:
        """Called once, before the stage starts on a link."""

    def begin(self, now: float) -> None:
        """Called when the toxic starts on a link, and again after each update."""

    def step(self, out: Outlet, now: float) -> bool:
        """Move what the toxic lets move at `now`; set `deadline` to be stepped again."""
        return self.forward(out)

    def interrupt(self, out: Outlet) -> None:
        """Release what is in hand at once: the toxic is updated or its neighbour changes."""

    def committed(self) -> bool:
        """Whether the link is past the point where it could still be spared."""
        return False

    def on_remove(self, out: Outlet) -> None:
        """Called before the toxic goes; may close the link."""
