"""Flipped bit: one bit of a chosen file is not what was written."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.volume_fault import VolumeFault, chosen, inside
from harness.core.errors import TargetError, UsageError
from harness.drivers.base import Stack


@dataclass(frozen=True)
class FlippedBit(VolumeFault):
    """Flips ``bit`` (0 is the lowest) of the byte at ``offset`` in the first file that ``file``
    matches below the role's data directory; ``offset`` -1 is the middle of the file.

    As rot on a disk does, it tells nobody: a role that has the page in memory sees it only once it
    reads from disk again. Healing flips the bit back unless the role has rewritten it meanwhile.
    """

    file: str
    offset: int = -1
    bit: int = 0

    slug: ClassVar[str] = "flipped-bit"
    sentence: ClassVar[str] = "One bit of a file on disk is not what was written."

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.file:
            raise UsageError(f"The fault {self.slug!r} needs a file.", actual=repr(self.file))
        inside(self.slug, "file", self.file)
        in_range(self.slug, "offset", self.offset, -1, 1 << 50, "bytes")
        in_range(self.slug, "bit", self.bit, 0, 7, "of a byte")

    def before(self, stack: Stack) -> dict[str, Any]:
        """The chosen file, its size and its content's digest."""
        path = chosen(stack, self.role, self.file)
        offset = self.offset if self.offset >= 0 else path.stat().st_size // 2
        if offset >= path.stat().st_size:
            raise TargetError(
                f"{path.name} has no such byte.",
                expected=f"an offset below {path.stat().st_size}",
                actual=offset,
            )
        return super().before(stack) | {
            "path": str(path),
            "offset": offset,
            "byte": _byte(path, offset),
            "rest": _digest_without(path, offset),
        }

    def inject(self, stack: Stack) -> None:
        """Write the one byte, remembering what it was."""
        path = chosen(stack, self.role, self.file)
        offset = self.offset if self.offset >= 0 else path.stat().st_size // 2
        was = _byte(path, offset)
        self.notes(stack).write(path=str(path), offset=offset, was=was, now=was ^ (1 << self.bit))
        _put(path, offset, was ^ (1 << self.bit))

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Read the file from disk: this bit differs from before."""
        path, offset = Path(before["path"]), before["offset"]
        byte = _byte(path, offset)
        differs = byte == before["byte"] ^ (1 << self.bit)
        # A role that runs may append to its file; that is its own doing.
        alone = _digest_without(path, offset) == before["rest"]
        return Proof(
            differs,
            {"file": path.name, "offset": offset, "before": before["byte"], "now": byte}
            | {"rest unchanged": alone},
        )

    def heal(self, stack: Stack) -> None:
        """Flip the bit back, if it is still there."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        path = Path(kept["path"])
        try:
            if _byte(path, kept["offset"]) == kept["now"]:
                _put(path, kept["offset"], kept["was"])
        except (FileNotFoundError, IndexError):
            # The role has removed or cut the file itself: no flipped bit is left.
            pass
        self.start_if_down_quietly(stack)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Read again: the bit is as before, or the role has written something else."""
        answers = super().prove_healed(stack, before)
        try:
            byte: int | None = _byte(Path(before["path"]), before["offset"])
        except (FileNotFoundError, IndexError):
            byte = None
        flipped = byte == before["byte"] ^ (1 << self.bit)
        return Proof(answers.ok and not flipped, {"byte": byte, **answers.seen})


def _byte(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(1)[0]


def _put(path: Path, offset: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes([value]))
        file.flush()
        os.fsync(file.fileno())


def _digest_without(path: Path, offset: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(offset))
        file.read(1)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
