"""The build context of the images: only what they need, the same bytes for the same files."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PARTS = ("refstack", "harness/__init__.py", "harness/core", "harness/checks", "scripts/dayops")
"""What may be copied into an image, relative to the checkout."""
CA_NAME = "refstack/images/base/ca.pem"
_SKIPPED = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})
# Where tools are told which certificates to trust; the first that names a file is taken.
_CA_VARIABLES = ("RAGDRILL_CA_BUNDLE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def context(checkout: Path, ca: Path | None = None) -> bytes:
    """Return a tar archive of the context, with owners and times that are always the same.

    ``ca`` is added as the certificates that package downloads trust. Raises OSError for a file
    that can't be read.
    """
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in files(checkout):
            _add(archive, path.relative_to(checkout).as_posix(), path.read_bytes(), _mode(path))
        if ca is not None:
            _add(archive, CA_NAME, ca.read_bytes(), 0o644)
    return whole.getvalue()


def files(checkout: Path) -> Iterator[Path]:
    """The files of the context, in one order everywhere."""
    for part in PARTS:
        start = checkout / part
        if start.is_file():
            yield start
            continue
        for directory, inside, names in os.walk(start):
            inside[:] = sorted(name for name in inside if name not in _SKIPPED)
            for name in sorted(names):
                if not name.endswith((".pyc", ".pem")):
                    yield Path(directory) / name


def certificates(environ: Mapping[str, str]) -> Path | None:
    """The bundle that this machine's tools are told to trust beyond their own; None: none."""
    for name in _CA_VARIABLES:
        if (given := environ.get(name)) and Path(given).is_file():
            return Path(given)
    return None


def _mode(path: Path) -> int:
    return 0o755 if os.access(path, os.X_OK) else 0o644


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), mode, 0
    archive.addfile(entry, io.BytesIO(content))
