"""What a fault must remember in order to be undone by another process than the one that made it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from harness.drivers.base import Stack


class Notes:
    """One fault's notes in the target's scratch directory: a JSON object and, beside it, bytes.

    They are written before anything breaks and forgotten once it is whole again, so that what is
    there tells what may still be broken. Readable by the owner alone: they may hold settings.
    """

    def __init__(self, stack: Stack, slug: str, on: str) -> None:
        name = f"{slug}-{on}".replace("/", "_")
        self.path = stack.scratch / "faults" / f"{name}.json"
        self.kept = self.path.with_suffix(".kept")
        """Where the fault may keep bytes (a file, an object) until it is healed."""

    def write(self, **content: Any) -> None:
        """Replace the notes in one step."""
        self._write(self.path, json.dumps(content).encode())

    def keep(self, data: bytes) -> None:
        """Keep bytes beside the notes."""
        self._write(self.kept, data)

    def read(self) -> dict[str, Any] | None:
        """Return the notes, or ``None`` when the fault is not on."""
        try:
            found: dict[str, Any] = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        return found

    def forget(self) -> None:
        """The fault is undone."""
        for path in (self.kept, self.path):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        partial.replace(path)
