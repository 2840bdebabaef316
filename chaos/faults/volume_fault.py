"""Common ground of the faults that hit the files of a role."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from chaos.faults.role_fault import RoleFault, with_volumes
from harness.core.errors import TargetError, UsageError
from harness.drivers.base import Stack


@dataclass(frozen=True)
class VolumeFault(RoleFault):
    """Hits something below the role's data directory."""

    needs: ClassVar[tuple[str, ...]] = ("fault", "destroy")

    def check_target(self, stack: Stack) -> None:
        """The role's data directory can be reached."""
        super().check_target(stack)
        with_volumes(stack).volume(self.role)


def inside(slug: str, name: str, value: str) -> None:
    """Refuse a path or pattern that does not stay below the data directory.

    Raises:
        UsageError: it is absolute or goes up.
    """
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(
            f"The fault {slug!r} stays inside the role's data directory.",
            expected=f"{name} as a path below it, for instance base/1/2619",
            actual=repr(value),
        )


def chosen(stack: Stack, role: str, pattern: str) -> Path:
    """The one file that a pattern below the data directory chooses: the first in order of name.

    Raises:
        TargetError: there is none.
    """
    top = with_volumes(stack).volume(role)
    files = sorted(path for path in top.glob(pattern) if path.is_file() and not path.is_symlink())
    if not files:
        raise TargetError(
            f"No file of {role} matches.",
            expected=f"a file {pattern} below {top}",
            actual=", ".join(sorted(each.name for each in top.glob("*"))[:20]) or "nothing there",
        )
    return files[0]
