"""Archives are unpacked alike on a Python with a filter for them and on one without."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from harness.core import archives


@pytest.fixture(params=["with a filter", "without"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The running Python, and as it was before 3.11.4."""
    if request.param == "without":
        monkeypatch.delattr(tarfile, "data_filter")
    return str(request.param)


def archive_of(*members: tuple[str, bytes]) -> tarfile.TarFile:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        for name, kind in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, "/etc/passwd", 0o4777
            entry.size = 2 if kind == tarfile.REGTYPE else 0
            made.addfile(entry, io.BytesIO(b"hi"))
    raw.seek(0)
    return tarfile.open(fileobj=raw)


def test_files_come_out_with_their_content_and_no_special_rights(
    tmp_path: Path, python: str
) -> None:
    archives.unpack(archive_of(("base", tarfile.DIRTYPE), ("base/1", tarfile.REGTYPE)), tmp_path)
    assert (tmp_path / "base/1").read_bytes() == b"hi"
    assert not (tmp_path / "base/1").stat().st_mode & 0o7000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("device", tarfile.CHRTYPE),
    ],
)
def test_what_would_leave_the_directory_is_refused(
    tmp_path: Path, python: str, name: str, kind: bytes
) -> None:
    with pytest.raises(tarfile.TarError):
        archives.unpack(archive_of((name, kind)), tmp_path / "into")
    assert not list(tmp_path.rglob("outside"))
    assert not list((tmp_path / "into").rglob("*"))
