"""Deleted write-ahead-log segment: a piece of the metadata store's history is missing."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults import objects
from chaos.faults.base import Proof
from chaos.faults.role_fault import with_volumes
from chaos.faults.volume_fault import VolumeFault
from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.drivers.base import Stack, WalArchive

WHERES = ("archive", "live")
_ARCHIVE = "wal/"
_SEGMENT = re.compile(r"[0-9A-F]{24}")


@dataclass(frozen=True)
class DeletedWalSegment(VolumeFault):
    """Takes the oldest segment away from the archive (``archive``: the bucket and the copy on its
    way there; no restore gets past it) or from the running store itself (``live``); healing puts
    the same file back, wherever it was."""

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
        if self.where == "archive":
            objects.check_store(stack)

    def before(self, stack: Stack) -> dict[str, Any]:
        """Which segment is the oldest, how large, and which object it is in the bucket."""
        path, key = self._oldest(stack)
        told = {"path": str(path), "size": path.stat().st_size, "key": key}
        if key:
            told["metadata"] = objects.metadata(stack, key)
        return super().before(stack) | told

    def inject(self, stack: Stack) -> None:
        """Move it aside, within the file system, so that it comes back exactly as it was."""
        path, key = self._oldest(stack)
        notes = self.notes(stack)
        own = objects.metadata(stack, key) if key else None
        notes.write(path=str(path), key=key, metadata=own)
        notes.kept.unlink(missing_ok=True)
        path.rename(notes.kept)
        if key:
            objects.client(stack).remove_object(stack.credentials(objects.ROLE)["bucket"], key)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Nothing is there under its name, and reading it from the bucket gives NoSuchKey."""
        path = Path(before["path"])
        there = {"file": path.exists()}
        if before["key"]:
            there["object"] = objects.metadata(stack, before["key"]) is not None
        return Proof(not any(there.values()), {"segment": path.name, "there": there})

    def heal(self, stack: Stack) -> None:
        """Put it back, unless the store has written one of that name again."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        path = Path(kept["path"])
        if notes.kept.exists() and not path.exists():
            notes.kept.rename(path)
        key = kept["key"]
        if key and objects.metadata(stack, key) is None:
            objects.write(stack, key, path.read_bytes(), kept["metadata"])
        self.start_if_down_quietly(stack)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """It is there again in its size, and in the bucket as it was recorded."""
        answers = super().prove_healed(stack, before)
        path = Path(before["path"])
        size = path.stat().st_size if path.exists() else None
        ok = answers.ok and size == before["size"]
        if before["key"]:
            ok = ok and objects.metadata(stack, before["key"]) == before["metadata"]
        return Proof(ok, {"size": size, **answers.seen})

    def _oldest(self, stack: Stack) -> tuple[Path, str]:
        if self.where == "archive":
            assert isinstance(stack, WalArchive)
            top = stack.archive_dir
        else:
            top = with_volumes(stack).volume(self.role) / "pg_wal"
        found = sorted(path for path in top.iterdir() if _SEGMENT.fullmatch(path.name))
        for path in found:
            key = _key(stack, path) if self.where == "archive" else ""
            if key is not None:
                return path, key
        raise TargetError(
            f"There is no segment in the {self.where} log yet.",
            expected="24 hexadecimal digits as a file name"
            + (", in the bucket too" if self.where == "archive" else ""),
            actual=f"none in {top}" if not found else f"{len(found)} here, none in the bucket",
            next_step="SELECT pg_switch_wal() finishes one",
        )


def _key(stack: Stack, path: Path) -> str | None:
    """Where the bucket has this segment; clusters of former volumes had some of that name too."""
    bucket = stack.credentials(objects.ROLE)["bucket"]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for each in objects.client(stack).list_objects(bucket, prefix=_ARCHIVE, recursive=True):
        key = str(each.object_name)
        if key.endswith(f"/{path.name}") and objects.digest(stack, key) == sha256:
            return key
    return None
