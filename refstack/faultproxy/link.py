"""One direction of one connection: bytes from a source socket through toxics to a destination.

Without toxics a link relays straight from socket to socket; with toxics it reads chunks of at
most 32 KiB and steps them through its stages. Either way it stops reading while what it holds
has nowhere to go, so a slow reader costs bounded memory and its sender feels it.
"""

from __future__ import annotations

import asyncio
import enum
import math
import random
import socket
from collections import deque
from collections.abc import Callable
from time import monotonic

from refstack.faultproxy.chain import Direction, Toxic
from refstack.faultproxy.toxics.base import CHUNK_BYTES, Chunk, Outlet, Stage

TICK_S = 0.001
SPIN_TICKS = 0.4
"""The part of a tick that a link may spend turning the event loop to keep its time."""

RELAY_BYTES = 256 * 1024
# One buffer serves every link: a relay is a read and a write with nothing in between.
_buffer = bytearray(RELAY_BYTES)
_view = memoryview(_buffer)


class _Reading(enum.Enum):
    NOTHING = "nothing"
    RELAY = "relay"
    CHUNKS = "chunks"


class Link:
    """A pipeline from `source` to `dest`, both non-blocking sockets owned by the connection.

    `finished` is called once, with the link, when its last byte is written or can't be written.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        direction: Direction,
        source: socket.socket,
        dest: socket.socket,
        rng: Callable[[], random.Random],
        finished: Callable[[Link], None],
    ) -> None:
        self.direction = direction
        self.source = source
        self.dest = dest
        self.received = 0
        self.sent = 0
        self.failed = False
        self.over = False
        self.other: Link | None = None
        self._watchers: list[Callable[[bytes], None]] = []
        self._loop = loop
        self._rng = rng
        self._finished = finished
        self._stages: list[Stage] = []
        self._pending: deque[memoryview] = deque()
        self._source_over = False
        self._ending = False
        self._writing = False
        self._reading = _Reading.NOTHING
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf

    def start(self, toxics: list[Toxic]) -> None:
        """Begin to pass data through a stage for each toxic."""
        now = monotonic()
        for toxic in toxics:
            stage = self._stage(toxic)
            self._stages.append(stage)
            stage.start(now)
        self._pump()

    def source_gone(self) -> None:
        """The source is at its end, or closed by the connection: let what is held run out."""
        if self._source_over or self.over:
            return
        self._source_over = True
        (self._stages[0] if self._stages else self).end()
        self._pump()

    def let_go_of_source(self) -> None:
        """Stop watching the source, which is about to be closed."""
        self._read(_Reading.NOTHING)

    def drop(self) -> None:
        """Stop at once and forget what is held; the connection closes the sockets."""
        self.over = True
        self._pending.clear()
        self._stages.clear()
        self._set_timer(math.inf)
        self._read(_Reading.NOTHING)
        self._write(False)

    # Changes of the toxics on an open link.

    def add(self, toxic: Toxic) -> None:
        """Put a toxic at the end of the pipeline."""
        if self.over:
            return
        now = monotonic()
        if self._stages:
            self._restart(len(self._stages) - 1, now)
        stage = self._stage(toxic)
        stage.closed = self._ending
        self._stages.append(stage)
        stage.start(now)
        self._pump()

    def update(self, toxic: Toxic) -> None:
        """Take up the new settings and toxicity of a toxic."""
        index = self._index(toxic)
        if index is not None:
            self._restart(index, monotonic())
            self._pump()

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic out; what it holds goes on at once."""
        index = self._index(toxic)
        if index is None or self._stages[index].closed:
            return
        stage, outlet = self._stages[index], self._outlet(index)
        stage.on_remove(outlet)
        if not stage.closed:
            if stage.active:
                stage.interrupt(outlet)
            for chunk in stage.inbox:
                outlet.feed(chunk)
            if self.over:
                return
            del self._stages[index]
            if stage.input_over:
                outlet.end()
            elif index:
                self._restart(index - 1, monotonic())
        self._pump()

    def _stage(self, toxic: Toxic) -> Stage:
        stage = toxic.stage_type(toxic, self._rng())
        stage.placed(self)
        return stage

    # The link as the place of a stage.

    def watch_other_direction(self, look: Callable[[bytes], None]) -> None:
        """Show what the other link reads."""
        if self.other is not None:
            self.other._watchers.append(look)

    def unwatch(self, look: Callable[[bytes], None]) -> None:
        """No longer show it."""
        if self.other is not None and look in self.other._watchers:
            self.other._watchers.remove(look)

    def _index(self, toxic: Toxic) -> int | None:
        for index, stage in enumerate(self._stages):
            if stage.toxic is toxic:
                return index
        return None

    def _restart(self, index: int, now: float) -> None:
        stage = self._stages[index]
        if stage.closed:
            return
        if stage.active:
            stage.interrupt(self._outlet(index))
        stage.start(now)

    def _outlet(self, index: int) -> Outlet:
        return self._stages[index + 1] if index + 1 < len(self._stages) else self

    # The end of the pipeline: the link is the last stage's outlet.

    def room(self) -> bool:
        """Whether the destination takes more now."""
        return not self._pending and not self._ending

    def feed(self, chunk: Chunk) -> None:
        """Write a chunk, keeping what the destination does not take yet."""
        if self.over:
            return
        if self._pending:
            self._pending.append(memoryview(chunk.data))
            return
        sent = self._send(chunk.data)
        if sent < len(chunk.data) and not self.over:
            self._pending.append(memoryview(chunk.data)[sent:])
            self._write(True)

    def end(self) -> None:
        """Close the destination once everything is written."""
        self._ending = True
        if not self._pending:
            self._finish()

    def _send(self, data: bytes | memoryview) -> int:
        try:
            sent = self.dest.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.failed = True
            self._finish()
            return 0
        self.sent += sent
        return sent

    def _finish(self) -> None:
        if self.over:
            return
        self.drop()
        self._finished(self)

    # What the event loop calls.

    def _relay(self) -> None:
        try:
            count = self.source.recv_into(_buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if not count:
            self.source_gone()
            return
        self.received += count
        for look in self._watchers:
            look(bytes(_view[:count]))
        sent = self._send(_view[:count])
        if sent < count and not self.over:
            self._pending.append(memoryview(bytes(_view[sent:count])))
            self._write(True)
            self._read(_Reading.NOTHING)

    def _take_chunk(self) -> None:
        try:
            data = self.source.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.source_gone()
            return
        self.received += len(data)
        for look in self._watchers:
            look(data)
        self._stages[0].feed(Chunk(data, monotonic()))
        self._pump()

    def _drain(self) -> None:
        while self._pending:
            head = self._pending[0]
            sent = self._send(head)
            if self.over:
                return
            if sent < len(head):
                self._pending[0] = head[sent:]
                return
            self._pending.popleft()
        self._write(False)
        if self._ending:
            self._finish()
        else:
            self._pump()

    def _tick(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        self._pump()

    # Stepping the stages.

    def _pump(self) -> None:
        now = monotonic()
        moved = True
        while moved and not self.over:
            moved = False
            outlet: Outlet = self
            for stage in reversed(self._stages):
                if not stage.closed and stage.advance(outlet, now):
                    moved = True
                outlet = stage
        if self.over:
            return
        self._set_timer(min((s.deadline for s in self._stages if s.deadline), default=math.inf))
        if self._source_over:
            self._read(_Reading.NOTHING)
        elif self._stages:
            self._read(_Reading.CHUNKS if self._stages[0].room() else _Reading.NOTHING)
        else:
            self._read(_Reading.RELAY if self.room() else _Reading.NOTHING)

    def _set_timer(self, at: float) -> None:
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at < math.inf:
            ticks = (at - monotonic()) / TICK_S
            # The loop's timers tick in milliseconds. What is left of a wait after the last
            # whole tick is spun away where that is short, and rounded up where it is not.
            whole = math.ceil(ticks - SPIN_TICKS)
            if whole > 0:
                self._timer = self._loop.call_later(whole * TICK_S, self._tick)
            else:
                self._timer = self._loop.call_soon(self._tick)

    def _read(self, reading: _Reading) -> None:
        if reading is self._reading:
            return
        self._reading = reading
        if reading is _Reading.NOTHING:
            self._loop.remove_reader(self.source)
        elif reading is _Reading.RELAY:
            self._loop.add_reader(self.source, self._relay)
        else:
            self._loop.add_reader(self.source, self._take_chunk)

    def _write(self, writing: bool) -> None:
        if writing is self._writing:
            return
        self._writing = writing
        if writing:
            self._loop.add_writer(self.dest, self._drain)
        else:
            self._loop.remove_writer(self.dest)
