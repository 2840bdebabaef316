"""Snapshots are unpacked on a Python that has no filter for archives, and no less safely."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from refstack.vectordb.archive import _extract


def archive_of(*members: tuple[str, bytes]) -> tarfile.TarFile:
    """A tar with these names and kinds; files hold two bytes, links lead out."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        for name, kind in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, "/etc/passwd", 0o4777
            entry.size = 2 if kind == tarfile.REGTYPE else 0
            made.addfile(entry, io.BytesIO(b"hi"))
    raw.seek(0)
    return tarfile.open(fileobj=raw)


def test_files_come_out_with_their_content_and_no_special_rights(tmp_path: Path) -> None:
    archive = archive_of(("segments", tarfile.DIRTYPE), ("segments/one", tarfile.REGTYPE))
    _extract(archive, archive.getmembers(), tmp_path)
    assert (tmp_path / "segments/one").read_bytes() == b"hi"
    assert not (tmp_path / "segments/one").stat().st_mode & 0o7000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/outside", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("device", tarfile.CHRTYPE),
    ],
)
def test_what_would_leave_the_directory_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, kind: bytes
) -> None:
    archive = archive_of(("sound", tarfile.REGTYPE), (name, kind))
    with pytest.raises(tarfile.TarError):
        _extract(archive, archive.getmembers(), tmp_path)
    assert list(tmp_path.iterdir()) == []
