"""Mounting, where this user may: by the system calls, so that no program is needed."""

from __future__ import annotations

import ctypes
import os
import tempfile
from functools import cache
from pathlib import Path

_MS_RDONLY = 1
_MS_REMOUNT = 32
_MS_BIND = 4096
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(point: Path, size_bytes: int) -> None:
    """Put an empty file system of this size over a directory; raises OSError."""
    options = f"size={size_bytes},mode=0700".encode()
    _check(_libc.mount(b"ragdrill", os.fsencode(point), b"tmpfs", 0, options), "mount", point)


def limit_tmpfs(point: Path, size_bytes: int) -> None:
    """Change the size of such a file system; raises OSError where more is in it already."""
    options = f"size={size_bytes}".encode()
    name = os.fsencode(point)
    _check(_libc.mount(None, name, None, _MS_REMOUNT, options), "remount", point)


def mount_read_only(point: Path) -> None:
    """Put a directory over itself that can't be written through; raises OSError.

    What is open for writing already stays so, as with a file system that was remounted.
    """
    name = os.fsencode(point)
    _check(_libc.mount(name, name, None, _MS_BIND, None), "mount", point)
    flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY
    try:
        _check(_libc.mount(None, name, None, flags, None), "remount", point)
    except OSError:
        unmount(point)
        raise


def unmount(point: Path) -> None:
    """Take everything off a directory that lies over it; raises OSError."""
    while point in mounts():
        _check(_libc.umount2(os.fsencode(point), _MNT_DETACH), "umount", point)


def mounts() -> list[Path]:
    """Every mount point that this process sees."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(_unescaped(line.split()[4])) for line in lines]


def unmount_below(top: Path) -> list[str]:
    """Unmount everything below a directory, innermost first; returns what it was."""
    found = sorted((each for each in mounts() if top in each.parents), reverse=True)
    for point in found:
        unmount(point)
    return [f"mount {point}" for point in found]


@cache
def mounting_works() -> bool:
    """Try it on a directory of our own."""
    with tempfile.TemporaryDirectory(prefix="ragdrill-mount-") as name:
        point = Path(name)
        try:
            mount_tmpfs(point, 1 << 16)
        except OSError:
            return False
        unmount(point)
    return True


def _unescaped(field: str) -> str:
    """``/proc`` writes blanks and backslashes in octal (proc(5))."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _check(result: int, call: str, point: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", str(point))
