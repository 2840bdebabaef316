"""The files of this checkout, as the rules in this folder see them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", ".venv", ".tox", "runs", "__pycache__", "build", "dist", ".cache"}
TEXT = {"", ".py", ".sh", ".sql", ".md", ".toml", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".j2"}


@cache
def files() -> tuple[Path, ...]:
    """Return tracked and not yet tracked files, relative to the checkout, sorted.

    Where git can't say (no repository, or one that belongs to another user), every file outside
    the places that are git-ignored counts.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=30,
    )
    if listing.returncode == 0:
        names = [Path(name) for name in listing.stdout.decode().split("\0") if name]
    else:
        names = [
            path.relative_to(ROOT)
            for path in ROOT.rglob("*")
            if not NOT_OURS & set(path.relative_to(ROOT).parts)
            and ".egg-info" not in str(path.relative_to(ROOT))
        ]
    return tuple(sorted({name for name in names if (ROOT / name).is_file()}))


def python_files() -> tuple[Path, ...]:
    """Return the Python files among :func:`files`."""
    return tuple(path for path in files() if path.suffix == ".py")


def text_files() -> tuple[Path, ...]:
    """Return the files among :func:`files` that people wrote as text."""
    return tuple(path for path in files() if path.suffix in TEXT and path.name != "LICENSE")


def read(path: Path) -> str:
    """Return the text of a file given relative to the checkout."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")
