"""An append-only file of JSON lines; what was acknowledged is on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_BEGIN = b'{"'


class Journal:
    """One writer process; safe to use from several threads.

    Raises OSError where the file cannot be opened, and ValueError where it is another's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._end = self._whole_lines()
            os.ftruncate(self._file, self._end)
        except BaseException:
            os.close(self._file)
            raise

    def _whole_lines(self) -> int:
        """Where the last whole line ends: a crash may have left half of one, never acknowledged."""
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    orjson.loads(line)
                    end += len(line)
                elif line[: len(_BEGIN)] != _BEGIN[: len(line)]:
                    raise ValueError("the last line is not a part of one of ours")
        return end

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line and wait until it is on disk; raises OSError, and then nothing stays."""
        line = orjson.dumps(entry) + b"\n"
        with self._lock:
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
            self._end += len(line)

    def entries(self) -> Iterator[dict[str, Any]]:
        """What was acknowledged so far, oldest first."""
        left = self._end
        with self._path.open("rb") as file:
            for line in file:
                left -= len(line)
                if left < 0:
                    return
                yield orjson.loads(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
