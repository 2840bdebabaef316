"""Brings Debian packages into a cache and unpacks them there, without root or installing."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

DOWNLOAD_TIMEOUT_S = 600
UNPACK_TIMEOUT_S = 300
_RECORD = "package.json"
_ROOT = "root"
# Debian policy 5.6.1: lower case letters, digits, plus, minus and full stop.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


class DebError(Exception):
    """A package could not be had; the message says why and what to do next."""


@dataclass(frozen=True)
class Package:
    """One unpacked package: `sha256` is that of the downloaded archive."""

    name: str
    version: str
    architecture: str
    sha256: str


def default_cache() -> Path:
    """Where unpacked packages go: `$RAGDRILL_CACHE/deb`, else below the user's cache folder."""
    configured = os.environ.get("RAGDRILL_CACHE")
    if configured:
        return Path(configured) / "deb"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ragdrill" / "deb"


def fetch(packages: Sequence[str], cache: Path) -> dict[str, Path]:
    """Unpack each package below `cache` and return where its file tree starts.

    What is already there is used as it is, with no network and no apt. A package appears under
    its name only once it is complete, so an interrupted call leaves nothing half-done, and
    several processes may call this at once.

    Raises DebError where apt or dpkg are missing, the package is unknown, or the download fails.
    """
    for name in packages:
        if not _NAME.fullmatch(name):
            raise DebError(
                f"{name!r} is not a package name: expected lower case letters, digits, + - and ."
            )
    cache.mkdir(parents=True, exist_ok=True)
    missing = [name for name in packages if not _complete(cache, name)]
    if missing:
        with _locked(cache):
            for name in missing:
                if not _complete(cache, name):
                    _bring(name, cache)
    return {name: cache / name / _ROOT for name in packages}


def describe(name: str, cache: Path) -> Package:
    """What `fetch` recorded about a package; raises DebError when it is not in the cache."""
    record = cache / name / _RECORD
    try:
        return Package(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DebError(
            f"{name} is not in {cache}, or its record {record} is damaged; "
            f"remove {cache / name} and fetch it again"
        ) from error


def known(name: str) -> bool:
    """Whether apt on this machine could download the package; False where there is no apt."""
    if shutil.which("apt-get") is None:
        return False
    done = _run(["apt-get", "download", "--print-uris", name], Path("/"), 60)
    return done.returncode == 0 and bool(done.stdout.strip())


def _complete(cache: Path, name: str) -> bool:
    return (cache / name / _RECORD).is_file() and (cache / name / _ROOT).is_dir()


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    with (cache / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for leftover in cache.glob(".partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _bring(name: str, cache: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DebError(
                f"{tool} was not found, so {name} cannot be downloaded: this needs Debian or "
                f"one of its derivatives. Elsewhere, unpack the package on such a machine with "
                f"`python scripts/debs.py {name}` and copy the folder to {cache / name}"
            )
    with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as scratch:
        work = Path(scratch)
        archive = _download(name, work)
        unpacked = work / "unpacked"
        root = unpacked / _ROOT
        root.mkdir(parents=True)
        done = _run(["dpkg-deb", "-x", str(archive), str(root)], work, UNPACK_TIMEOUT_S)
        if done.returncode != 0:
            raise DebError(f"{archive.name} could not be unpacked: {_last_line(done.stderr)}")
        record = unpacked / _RECORD
        record.write_text(json.dumps(asdict(_identify(name, archive)), indent=1) + "\n")
        target = cache / name
        if target.exists():
            shutil.rmtree(target)
        unpacked.rename(target)


def _download(name: str, work: Path) -> Path:
    # apt drops to the user _apt for downloads, who may not enter a private folder: it says so
    # and carries on as the caller, which is what is wanted here.
    done = _run(["apt-get", "-q", "download", name], work, DOWNLOAD_TIMEOUT_S)
    archives = sorted(work.glob("*.deb"))
    if done.returncode == 0 and len(archives) == 1:
        return archives[0]
    reason = _last_line(done.stderr) or f"apt-get ended with status {done.returncode}"
    if "Unable to locate package" in done.stderr or "No packages found" in done.stderr:
        advice = "run `apt-get update` as root, or this release does not carry the package"
    else:
        advice = "check the network and the package sources, then run the same command again"
    raise DebError(f"{name} could not be downloaded: {reason}; {advice}")


def _identify(name: str, archive: Path) -> Package:
    fields = {}
    for field in ("Version", "Architecture"):
        done = _run(["dpkg-deb", "-f", str(archive), field], archive.parent, 60)
        if done.returncode != 0:
            raise DebError(f"{archive.name} has no readable header: {_last_line(done.stderr)}")
        fields[field] = done.stdout.strip()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Package(name, fields["Version"], fields["Architecture"], digest)


def _run(command: list[str], cwd: Path, timeout_s: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DebError(
            f"`{' '.join(command)}` did not end within {timeout_s} s; run it again"
        ) from error


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("W:")]
    return lines[-1].strip() if lines else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch the packages named on the command line; print name, version and folder of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE")
    parser.add_argument("--cache", type=Path, default=None, help="default: $RAGDRILL_CACHE/deb")
    options = parser.parse_args(argv)
    cache: Path = options.cache or default_cache()
    try:
        for name, root in fetch(options.packages, cache).items():
            print(f"{name} {describe(name, cache).version} {root}")
    except DebError as error:
        print(f"debs: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
