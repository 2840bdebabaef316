"""Durable small files, sparse copies and the ties that end a child with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import orjson

_PR_SET_PDEATHSIG = 1
_CHUNK = 1 << 20


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent's thread ends; exit if it has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        raise SystemExit(1)


def sync_directory(path: Path) -> None:
    """Make renames inside `path` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: object) -> None:
    """Replace `path` by the JSON of `value`, atomically and durably."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as handle:
            handle.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def data_extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of the parts of an open file that are not holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(handle, position, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end - start
        position = end


def copy_sparse(source: Path, target: Path) -> None:
    """Copy one file and keep its holes: the engine preallocates files of 32 MiB."""
    with source.open("rb") as reader, target.open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        for offset, length in list(data_extents(reader.fileno(), size)):
            reader.seek(offset)
            writer.seek(offset)
            remaining = length
            while remaining:
                chunk = reader.read(min(_CHUNK, remaining))
                if not chunk:
                    break
                writer.write(chunk)
                remaining -= len(chunk)
        writer.truncate(size)


def copy_tree_sparse(source: Path, target: Path) -> None:
    """Copy a directory tree into `target`, which must not exist."""
    target.mkdir()
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            copy_tree_sparse(entry, target / entry.name)
        elif entry.is_file():
            copy_sparse(entry, target / entry.name)


def sync_tree(path: Path) -> None:
    """Flush every file and directory below `path` to disk."""
    for root, _, names in os.walk(path):
        for name in names:
            handle = os.open(Path(root) / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(root))


def remove_tree(path: Path) -> None:
    """Remove a directory tree; one that is not there is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
