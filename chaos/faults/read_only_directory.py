"""Read-only directory: nothing can be created or changed below a role's data directory."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults import mounts
from chaos.faults.base import Proof
from chaos.faults.role_fault import with_volumes
from chaos.faults.volume_fault import VolumeFault, inside
from harness.core.errors import TargetError
from harness.drivers.base import Stack

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class ReadOnlyDirectory(VolumeFault):
    """Makes ``path`` below the role's data directory (empty: all of it) read-only.

    Where this user may mount, by a read-only mount over it, which stops root too (EROFS); else by
    taking the right to write from its directories (EACCES). Files that are open for writing stay
    so, and a process whose working directory is ``path`` itself still writes there: choose a
    directory below it (for PostgreSQL, ``base`` or ``pg_wal``).
    """

    path: str = ""

    slug: ClassVar[str] = "read-only-directory"
    sentence: ClassVar[str] = "Nothing can be created below a data directory of the role."
    needs: ClassVar[tuple[str, ...]] = ("fault", "restart")

    def __post_init__(self) -> None:
        super().__post_init__()
        inside(self.slug, "path", self.path)

    def before(self, stack: Stack) -> dict[str, Any]:
        """Whether something can be created there while all is well."""
        return super().before(stack) | {"problem": creating(self._top(stack))}

    def inject(self, stack: Stack) -> None:
        """Mount it over itself read-only, or take the right to write away."""
        top, notes = self._top(stack), self.notes(stack)
        if mounts.mounting_works():
            notes.write(how="mount", top=str(top), modes={})
            mounts.mount_read_only(top)
            return
        directories = [top, *(each for each in top.rglob("*") if _is_directory(each))]
        modes = {str(each): stat.S_IMODE(each.stat().st_mode) for each in directories}
        notes.write(how="mode", top=str(top), modes=modes)
        for each, mode in modes.items():
            Path(each).chmod(mode & ~_WRITE)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Creating a file there fails where it worked before."""
        now = creating(self._top(stack))
        return Proof(now is not None and before["problem"] is None, {"creating a file": now})

    def heal(self, stack: Stack) -> None:
        """Take the mount away, or give the rights back; start the role if it died of it."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        if kept["how"] == "mount":
            mounts.unmount(Path(kept["top"]))
        for each, mode in kept["modes"].items():
            with contextlib.suppress(FileNotFoundError):
                Path(each).chmod(mode)
        self.start_if_down_quietly(stack)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A file can be created there again."""
        answers = super().prove_healed(stack, before)
        now = creating(self._top(stack))
        return Proof(answers.ok and now is None, {"creating a file": now, **answers.seen})

    def release(self, run_id: str, scratch: Path) -> list[str]:
        """Take the mount away, which would keep the run's directory from being removed."""
        return release_mounts(scratch)

    def _top(self, stack: Stack) -> Path:
        top = with_volumes(stack).volume(self.role) / self.path
        if not top.is_dir():
            raise TargetError(f"{self.role} has no directory {self.path!r}.", actual=str(top))
        # A mount point is listed without symbolic links.
        return top.resolve()


def creating(directory: Path, size: int = 4096) -> str | None:
    """Create and remove a file of ``size`` bytes; returns the error, or ``None`` for none."""
    path = directory / f".ragdrill-probe-{os.getpid()}"
    try:
        path.write_bytes(b"x" * size)
    except OSError as error:
        return f"{error.errno} {error.strerror}"
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def release_mounts(scratch: Path) -> list[str]:
    """Unmount all below a dead run's directory and remove what was left because of it."""
    from harness.drivers.embedded import procfs

    released = mounts.unmount_below(scratch.resolve())
    if released:
        with contextlib.suppress(OSError):
            procfs.remove_tree(str(scratch))
    return released


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
