"""Follows one log file: whole lines from a remembered place on, across restarts and renames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHUNK = 256 << 10
LONGEST = 64 << 10
"""A longer line is cut, and says so: one line must not fill a push."""


@dataclass
class Place:
    """How far a file has been shipped: `inode` tells it from a later one of its name; `last_at`
    is the time of the last line, for lines that say none themselves."""

    inode: int
    offset: int
    last_at: int


@dataclass(frozen=True)
class RawLine:
    """A line as it stands in the file, and where it begins."""

    offset: int
    text: str


class Tail:
    """One file; nothing is held open while there is nothing to read."""

    def __init__(self, path: Path, place: Place | None, now: int) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        inode = os.fstat(self._descriptor).st_ino
        known = place is not None and place.inode == inode
        self.place = place if place is not None and known else Place(inode, 0, now)

    def read(self) -> tuple[list[RawLine], int]:
        """Whole lines from the place on, about 256 KiB of them, and the offset after the last."""
        size = os.fstat(self._descriptor).st_size
        if size < self.place.offset:
            # Emptied and begun anew, as `: > file` does.
            self.place.offset = 0
        data = os.pread(self._descriptor, CHUNK, self.place.offset)
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == CHUNK:
            end = len(data)
        found, at = [], 0
        while at < end:
            stop = data.find(b"\n", at, end)
            stop = end if stop < 0 else stop
            raw = data[at:stop]
            text = raw[:LONGEST].decode("utf-8", "replace").rstrip("\r")
            if len(raw) > LONGEST:
                text += f" [cut: {len(raw)} bytes]"
            if text.strip():
                found.append(RawLine(self.place.offset + at, text))
            at = stop + 1
        return found, self.place.offset + end

    def behind(self) -> int:
        """Bytes that are in the file and not shipped."""
        return max(0, os.fstat(self._descriptor).st_size - self.place.offset)

    def replaced(self) -> bool:
        """Whether the name belongs to another file now, or to none."""
        try:
            return self.path.stat().st_ino != self.place.inode
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
