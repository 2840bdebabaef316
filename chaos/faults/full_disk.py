"""Full disk: a role can write no further byte."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults import mounts
from chaos.faults.base import Proof, in_range
from chaos.faults.read_only_directory import creating, release_mounts
from chaos.faults.role_fault import restartable, with_volumes
from chaos.faults.volume_fault import VolumeFault
from harness.core.errors import NotAllowed, TargetError
from harness.drivers.base import Stack

_MIB = 1 << 20
_TRIES = 50
_PAGE = 4096


@dataclass(frozen=True)
class FullDisk(VolumeFault):
    """Moves the role's data to a file system of its own (tmpfs) and takes the free room away.

    The role is stopped for the move, there and back, and keeps what it wrote meanwhile. While the
    fault is on its data are in memory: needs ``destroy``, and room for the data twice. Where this
    user may not mount, :class:`chaos.faults.file_size_limit.FileSizeLimit` comes nearest.
    ``spare_kib`` stay free.
    """

    spare_kib: int = 0

    slug: ClassVar[str] = "full-disk"
    sentence: ClassVar[str] = "The disk with the role's data is full (ENOSPC)."
    needs: ClassVar[tuple[str, ...]] = ("fault", "restart", "destroy")

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "spare_kib", self.spare_kib, 0, 1 << 20, "KiB")

    def check_target(self, stack: Stack) -> None:
        """The role can be restarted and this user may mount."""
        super().check_target(stack)
        restartable(stack)
        if not mounts.mounting_works():
            raise NotAllowed(
                "This user may not mount a small file system.",
                expected="the right to mount (CAP_SYS_ADMIN)",
                actual="it is refused",
                next_step="the fault file-size-limit needs no such right",
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """Whether 4 kB can be written while all is well."""
        return super().before(stack) | {"problem": creating(self._top(stack))}

    def inject(self, stack: Stack) -> None:
        """Stop, move the data onto a small file system, start, and take the free room away."""
        top, notes = self._top(stack), self.notes(stack)
        places = {
            "top": str(top),
            "aside": str(top.with_name(f"{top.name}.on-disk")),
            "back": str(top.with_name(f"{top.name}.coming-back")),
        }
        # Before the stop: whoever undoes this must know that the role was to come back.
        notes.write(stage="moving", **places)
        role = restartable(stack)
        role.stop(self.role)
        entries = [path.lstat() for path in top.rglob("*")]
        used = sum(max(each.st_size, each.st_blocks * 512) for each in entries)
        top.rename(places["aside"])
        top.mkdir(mode=0o700)
        # Room to start in, holes filled; nothing of it is taken before it is written.
        room = used + 4096 * len(entries) + 32 * _MIB + self.spare_kib * 1024
        mounts.mount_tmpfs(top, room)
        _copy(Path(places["aside"]), top)
        # From here on what is on the small file system is newer than what was put aside.
        notes.write(stage="moved", **places)
        role.start(self.role)
        self._shrink(top)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Writing 4 kB more than is spared fails with ENOSPC where 4 kB could be written before."""
        top = self._top(stack)
        now = creating(top, self.spare_kib * 1024 + 4096) or "no error"
        full = now.startswith(f"{errno.ENOSPC} ") and top in mounts.mounts()
        return Proof(full and before["problem"] is None, {"writing": now})

    def heal(self, stack: Stack) -> None:
        """Stop, move the data back with all that was added, take the file system away, start.

        Can be cut off and repeated at any point: the newest complete copy is never the one that is
        removed.
        """
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        top, aside, back = (Path(kept[name]) for name in ("top", "aside", "back"))
        places = {name: kept[name] for name in ("top", "aside", "back")}
        restartable(stack).stop(self.role)
        if kept["stage"] == "moved":
            shutil.rmtree(back, ignore_errors=True)
            back.mkdir(mode=0o700)
            _copy(top, back)
            notes.write(stage="back", **places)
        whole = aside if kept["stage"] == "moving" else back
        if whole.exists():
            mounts.unmount(top)
            with contextlib.suppress(FileNotFoundError):
                top.rmdir()
            whole.rename(top)
        shutil.rmtree(aside, ignore_errors=True)
        self.start_if_down(stack)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """4 kB can be written again, on the old file system."""
        answers = super().prove_healed(stack, before)
        now = creating(self._top(stack))
        ok = answers.ok and now is None and self._top(stack) not in mounts.mounts()
        return Proof(ok, {"writing 4 kB": now or "no error", **answers.seen})

    def release(self, run_id: str, scratch: Path) -> list[str]:
        """Take the file system away; its data died with the run."""
        return release_mounts(scratch)

    def _top(self, stack: Stack) -> Path:
        return with_volumes(stack).volume(self.role).resolve()

    def _shrink(self, top: Path) -> None:
        """Take the free room away; what is there stays, as on a disk that filled up."""
        problem: OSError | None = None
        for _ in range(_TRIES):
            usage = shutil.disk_usage(top)
            try:
                mounts.limit_tmpfs(top, usage.used + self.spare_kib * 1024)
            except OSError as error:
                # The role has written in between.
                problem = error
                continue
            return
        raise TargetError("The disk could not be filled.", actual=str(problem))


def _copy(source: Path, target: Path) -> None:
    """Copy what lies in a directory: links as links, holes as holes, with times and modes."""
    shutil.copytree(
        source, target, symlinks=True, dirs_exist_ok=True, copy_function=_copy_with_holes
    )


def _copy_with_holes(source: str, target: str) -> str:
    """Stores preallocate large files of nothing; written out, they would not fit."""
    with Path(source).open("rb") as file, Path(target).open("wb") as out:
        while page := file.read(_PAGE):
            if page.count(0) == len(page):
                out.seek(len(page), os.SEEK_CUR)
            else:
                out.write(page)
        out.truncate(file.tell())
    shutil.copystat(source, target)
    return target
