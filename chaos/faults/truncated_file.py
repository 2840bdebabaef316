"""Truncated file: the end of a chosen file is gone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.volume_fault import VolumeFault, chosen, inside
from harness.core.errors import TargetError, UsageError
from harness.drivers.base import Stack

_MOST_CUT = 256 << 20


@dataclass(frozen=True)
class TruncatedFile(VolumeFault):
    """Cuts ``cut_bytes`` off the first file that ``file`` matches below the role's data directory.

    The end is kept aside. Healing puts it back, unless the role has written to the file since:
    then whatever were put back would mix two states, and the heal says so instead.
    """

    file: str
    cut_bytes: int

    slug: ClassVar[str] = "truncated-file"
    sentence: ClassVar[str] = "The end of a file on disk is gone."

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.file:
            raise UsageError(f"The fault {self.slug!r} needs a file.", actual=repr(self.file))
        inside(self.slug, "file", self.file)
        in_range(self.slug, "cut_bytes", self.cut_bytes, 1, _MOST_CUT, "bytes")

    def before(self, stack: Stack) -> dict[str, Any]:
        """The chosen file and its size."""
        path = chosen(stack, self.role, self.file)
        size = path.stat().st_size
        if size < self.cut_bytes:
            raise TargetError(
                f"{path.name} is too small to be cut.",
                expected=f"at least {self.cut_bytes} bytes",
                actual=size,
            )
        return super().before(stack) | {"path": str(path), "size": size}

    def inject(self, stack: Stack) -> None:
        """Keep the end aside, then cut it off."""
        path = chosen(stack, self.role, self.file)
        left = path.stat().st_size - self.cut_bytes
        notes = self.notes(stack)
        with path.open("rb") as file:
            file.seek(left)
            notes.keep(file.read())
        notes.write(path=str(path), left=left)
        os.truncate(path, left)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The file on disk is shorter than before."""
        size = Path(before["path"]).stat().st_size
        return Proof(size < before["size"], {"before": before["size"], "now": size})

    def heal(self, stack: Stack) -> None:
        """Put the end back.

        Raises:
            TargetError: the role has written to the file since.
        """
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        path, end = Path(kept["path"]), notes.kept.read_bytes()
        size = path.stat().st_size if path.exists() else -1
        with_end = kept["left"] + len(end)
        if size == kept["left"]:
            with path.open("ab") as file:
                file.write(end)
                file.flush()
                os.fsync(file.fileno())
        elif size != with_end or path.read_bytes()[kept["left"] :] != end:
            raise TargetError(
                f"{path.name} has been written to since it was cut.",
                expected=f"{kept['left']} bytes",
                actual=f"{size} bytes",
                next_step=f"its end is kept in {notes.kept}; wipe the role and restore it",
            )
        self.start_if_down_quietly(stack)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The file has its size again, and the role answers."""
        answers = super().prove_healed(stack, before)
        size = Path(before["path"]).stat().st_size
        return Proof(answers.ok and size >= before["size"], {"size": size, **answers.seen})
