"""Unpacks tar archives safely on every Python that the harness runs on."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, into: Path) -> None:
    """Unpack files and directories below ``into``, without owners or special rights.

    Raises tarfile.TarError for an archive with anything that would leave ``into``; where Python
    is older than 3.11.4 (Debian 12 has 3.11.2) and has no filter for archives, for any link too.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(into, filter="data")
        return
    top = into.resolve()
    members = archive.getmembers()
    for member in members:
        if not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name!r} is neither a file nor a directory")
        if not (top / member.name).resolve().is_relative_to(top):
            raise tarfile.TarError(f"{member.name!r} would leave the directory")
    for member in members:
        archive.extract(member, into, set_attrs=False)
