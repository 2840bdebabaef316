"""Deleted write-ahead-log segment: a piece of the metadata store's history is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import with_volumes
from chaos.faults.volume_fault import VolumeFault
from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.drivers.base import Stack, WalArchive

WHERES = ("archive", "live")
_SEGMENT = re.compile(r"[0-9A-F]{24}")


@dataclass(frozen=True)
class DeletedWalSegment(VolumeFault):
    """Takes the oldest segment away from the archive (``archive``: no restore gets past it) or
    from the running store itself (``live``); healing puts the same file back."""

    role: str = "metadata"
    where: str = "archive"

    slug: ClassVar[str] = "deleted-wal-segment"
    sentence: ClassVar[str] = "A segment of the metadata store's write-ahead log is missing."

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.role != "metadata" or self.where not in WHERES:
            raise UsageError(
                f"The fault {self.slug!r} hits the metadata store's log.",
                expected=f"role metadata, where one of {', '.join(WHERES)}",
                actual=f"{self.role!r}, {self.where!r}",
            )

    def check_target(self, stack: Stack) -> None:
        """The archive can be reached, if that is what is to be hit."""
        super().check_target(stack)
        if self.where == "archive" and not isinstance(stack, WalArchive):
            raise NotAllowed(
                f"The archive of the target {stack.name!r} can't be reached.",
                expected="a driver with the archive on this machine (embedded)",
                actual=type(stack).__name__,
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """Which segment is the oldest, and how large."""
        path = self._oldest(stack)
        return super().before(stack) | {"path": str(path), "size": path.stat().st_size}

    def inject(self, stack: Stack) -> None:
        """Move it aside, within the file system, so that it comes back exactly as it was."""
        path, notes = self._oldest(stack), self.notes(stack)
        notes.write(path=str(path))
        notes.kept.unlink(missing_ok=True)
        path.rename(notes.kept)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Nothing is there under its name."""
        path = Path(before["path"])
        return Proof(not path.exists(), {"segment": path.name, "there": path.exists()})

    def heal(self, stack: Stack) -> None:
        """Move it back, unless the store has written one of that name again."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        path = Path(kept["path"])
        if notes.kept.exists() and not path.exists():
            notes.kept.rename(path)
        self.start_if_down_quietly(stack)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """It is there again in its size."""
        answers = super().prove_healed(stack, before)
        path = Path(before["path"])
        size = path.stat().st_size if path.exists() else None
        return Proof(answers.ok and size == before["size"], {"size": size, **answers.seen})

    def _oldest(self, stack: Stack) -> Path:
        if self.where == "archive":
            assert isinstance(stack, WalArchive)
            top = stack.archive_dir
        else:
            top = with_volumes(stack).volume(self.role) / "pg_wal"
        found = sorted(path for path in top.iterdir() if _SEGMENT.fullmatch(path.name))
        if not found:
            raise TargetError(
                f"There is no segment in the {self.where} log yet.",
                expected="24 hexadecimal digits as a file name",
                actual=f"none in {top}",
                next_step="SELECT pg_switch_wal() finishes one",
            )
        return found[0]
