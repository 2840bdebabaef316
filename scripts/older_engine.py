#!/usr/bin/env python3
"""Brings the last minor version of the vector store's engine, so that an upgrade can be shown.

It goes into a directory of its own below the cache, by pip, and nothing imports it unless it is put
on PYTHONPATH. The last line on stdout is that directory. A second call finds it there and needs no
network.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "qdrant-edge-py"
INSTALL_S = 240.0


def cache_directory() -> Path:
    """Where set-up keeps what it brought (``RAGDRILL_CACHE``)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("RAGDRILL_CACHE") or Path(base) / "ragdrill").absolute()


def last_minor(version: str) -> str:
    """Return the minor version before this one, as ``major.minor``. Raises ValueError."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if minor == 0:
        raise ValueError(f"{version} is the first minor version of its major")
    return f"{major}.{minor - 1}"


def whole(place: Path) -> bool:
    """Whether the engine lies there, to its end: pip writes its record last."""
    return any(importlib.metadata.distributions(name=PACKAGE, path=[str(place)]))


def bring(wanted: str, place: Path) -> str | None:
    """Install the version into ``place`` unless it is there; returns why that failed, or None."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if whole(place):
            return None
        draft = place.with_name(f"{place.name}.partial")
        shutil.rmtree(draft, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        try:
            done = subprocess.run(
                [*command, "--target", str(draft), f"{PACKAGE}=={wanted}.*"],
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
            )
        except subprocess.TimeoutExpired:
            return f"pip did not end within {INSTALL_S:.0f} s"
        if done.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            return done.stderr.strip()[-400:]
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Bring it; returns 0, or 2 where it can't be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", metavar="X.Y", help="this minor version, not the last one")
    chosen = parser.parse_args(argv)
    try:
        wanted = chosen.version or last_minor(importlib.metadata.version(PACKAGE))
    except (ValueError, importlib.metadata.PackageNotFoundError) as error:
        print(f"older_engine.py: {error}", file=sys.stderr)
        return 2
    place = cache_directory() / "engines" / f"{PACKAGE}-{wanted}"
    problem = bring(wanted, place)
    if problem:
        print(f"older_engine.py: {PACKAGE} {wanted} can't be had: {problem}", file=sys.stderr)
        return 2
    print(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
