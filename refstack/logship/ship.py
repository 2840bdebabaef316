"""The loop of the shipper: read a little, scrub it, push it, remember how far it got.

What is not acknowledged stays in the files and is read again after a restart; what was, may be
sent twice, and the store keeps it once. So an outage of the store loses nothing and fills no
memory: while a tenant's push is refused, nothing more is read for it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from refstack.common.logs import get_logger
from refstack.logship.keylines import KeyLines
from refstack.logship.lines import apart, written_at
from refstack.logship.measures import Measures
from refstack.logship.packing import packed
from refstack.logship.push import Client, Rejected, Stream, Unavailable
from refstack.logship.routes import TENANTS, Destination, destination
from refstack.logship.scrub import Scrubber
from refstack.logship.tail import Place, RawLine, Tail

POLL_S = 0.25
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
WITHHELD = "[withheld: this line could not be scrubbed]"


@dataclass
class _Batch:
    """What a tenant is owed: its streams, and where each file stands once they are taken."""

    streams: list[Stream] = field(default_factory=list)
    places: list[tuple[Tail, int, int]] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return sum(len(lines) for _, lines in self.streams)


@dataclass
class _Lane:
    """One tenant's state: what waits to be taken, and when to try again."""

    batch: _Batch | None = None
    pause_s: float = 0.0
    not_before: float = 0.0
    problem: str | None = None


class Shipper:
    """Ships every `*.log` of a directory; `positions` is the file that remembers how far."""

    def __init__(
        self, directory: Path, positions: Path, client: Client, scrubber: Scrubber
    ) -> None:
        self._directory, self._positions = directory, positions
        self._client, self._scrubber = client, scrubber
        self._kept = _read_positions(positions)
        self._tails: dict[str, Tail] = {}
        self._keys: defaultdict[str, KeyLines] = defaultdict(KeyLines)
        self._lanes = {tenant: _Lane() for tenant in TENANTS}
        self._redacted = scrubber.taken.copy()
        self.measures = Measures(self.behind)

    def behind(self) -> int:
        """Bytes in the files that no store has acknowledged."""
        total = 0
        for tail in list(self._tails.values()):
            with contextlib.suppress(OSError):
                total += tail.behind()
        return total

    def run(self, stop: threading.Event) -> None:
        """Ship until told to stop, and then what is left if the store takes it."""
        while not stop.is_set():
            if not self._careful_round():
                stop.wait(POLL_S)
        self._careful_round()
        self._client.close()

    def _careful_round(self) -> bool:
        try:
            return self.round()
        except Exception as error:
            # A shipper that ends silently loses more than one that says what is wrong.
            get_logger().error("round_failed", exc_info=error)
            return False

    def round(self) -> bool:
        """Look at every file once, and push what is due; whether anything was taken."""
        self._follow()
        now = time.monotonic()
        moved = False
        for tenant, lane in self._lanes.items():
            if now < lane.not_before:
                continue
            if lane.batch is None:
                lane.batch = self._gather(tenant)
            if lane.batch is not None:
                moved |= self._push(tenant, lane)
        return moved

    def _follow(self) -> None:
        """Let go of files that are gone and shipped, and take up new ones."""
        for name, tail in list(self._tails.items()):
            if tail.replaced() and not tail.behind():
                tail.close()
                del self._tails[name], self._kept[name]
        for path in sorted(self._directory.glob("*.log")):
            if path.name in self._tails:
                continue
            with contextlib.suppress(OSError):
                tail = Tail(path, self._kept.get(path.name), time.time_ns())
                self._tails[path.name] = tail
                self._kept[path.name] = tail.place
                # A line that tells no time gets this one, also when it is sent again.
                self._remember()

    def _gather(self, tenant: str) -> _Batch | None:
        batch = _Batch()
        for name, tail in self._tails.items():
            where = destination(name.removesuffix(".log"))
            if where.tenant != tenant:
                continue
            raw, end = tail.read()
            if end == tail.place.offset:
                continue
            lines, last = self._clean(raw, tail.place.last_at, name, where)
            if lines:
                batch.streams.append((where.labels, lines))
            batch.places.append((tail, end, last))
        return batch if batch.places else None

    def _clean(
        self, raw: list[RawLine], last: int, name: str, where: Destination
    ) -> tuple[list[tuple[int, str]], int]:
        role = dict(where.labels)["role"]
        year = datetime.now(UTC).year
        found = []
        for line in raw:
            at = written_at(line.text, year)
            # One that tells no time belongs right behind the one before it.
            last = last + 1 if at is None else apart(at, line.offset)
            try:
                inside = self._keys[name].holds(line.text)
                text = "[secret]" if inside else self._scrubber.line(line.text)
            except Exception as error:
                get_logger().error("line_withheld", exc_info=error)
                text = WITHHELD
            found.append((last, packed(text, last, role)))
        return found, last

    def _push(self, tenant: str, lane: _Lane) -> bool:
        batch = lane.batch
        assert batch is not None
        try:
            if batch.streams:
                self._client.push(tenant, batch.streams)
            self.measures.shipped(tenant, batch.lines)
        except Unavailable as error:
            if lane.problem is None:
                get_logger().warning("store_unavailable", tenant=tenant, reason=str(error))
            lane.problem = str(error)
            lane.pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * lane.pause_s))
            lane.not_before = time.monotonic() + lane.pause_s
            self.measures.failed(tenant)
            return False
        except Rejected as error:
            # To send it again would stop this tenant's log for ever.
            get_logger().error("lines_rejected", tenant=tenant, reason=str(error))
            self.measures.dropped(tenant, batch.lines)
        if lane.problem is not None:
            get_logger().info("store_available", tenant=tenant)
        self._lanes[tenant] = _Lane()
        for tail, end, last in batch.places:
            tail.place.offset, tail.place.last_at = end, last
        self._remember()
        self.measures.redacted(self._scrubber.taken - self._redacted)
        self._redacted = self._scrubber.taken.copy()
        return True

    def _remember(self) -> None:
        rows = {name: [p.inode, p.offset, p.last_at] for name, p in self._kept.items()}
        partial = self._positions.with_name(f".{self._positions.name}.partial")
        partial.write_bytes(orjson.dumps(rows))
        partial.replace(self._positions)


def _read_positions(path: Path) -> dict[str, Place]:
    """Raises ValueError where the file is another's."""
    if not path.exists():
        return {}
    return {name: Place(*map(int, row)) for name, row in _rows(path)}


def _rows(path: Path) -> Iterator[tuple[str, list[int]]]:
    held = orjson.loads(path.read_bytes())
    if not isinstance(held, dict):
        raise ValueError("no object of positions")
    for name, row in held.items():
        if not isinstance(row, list) or len(row) != 3:
            raise ValueError("no place in a file")
        yield name, row


def lower_priority() -> None:
    """Shipping can wait: what users wait for comes first."""
    with contextlib.suppress(OSError):
        os.nice(5)
