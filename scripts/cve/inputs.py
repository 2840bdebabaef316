"""What is installed: lock files with one exact version a line, and this environment."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.core.errors import TargetError
from scripts.cve.findings import Package

INSTALLED = "installed"

Packages = dict[Package, set[str]]
"""Packages with the places that name them."""


def read_lock(path: Path) -> list[Package]:
    """Return the packages of a lock file of ``name==version`` lines.

    Options (``-r``, ``--hash``), comments and empty lines are passed over.

    Raises:
        TargetError: it can't be read, names nothing, or leaves a version open: what that installs
            cannot be known, and so not be checked.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(
            "A lock file can't be read.", expected=str(path), actual=type(error).__name__
        ) from error
    found = []
    for number, raw in enumerate(text.replace("\\\n", " ").splitlines(), start=1):
        line = raw.split(" #")[0].split(" --")[0].strip()
        if not line or line.startswith(("#", "-")):
            continue
        found.append(_pinned(line, f"{path.name}, line {number}"))
    if not found:
        raise TargetError("A lock file names no package.", expected="name==version", actual=path)
    return found


def _pinned(line: str, where: str) -> Package:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        requirement = None
    pins = [] if requirement is None else list(requirement.specifier)
    exact = len(pins) == 1 and pins[0].operator in ("==", "===") and "*" not in pins[0].version
    if requirement is None or not exact:
        raise TargetError(
            f"What {where} installs is not certain, so it can't be checked.",
            expected="name==version",
            actual=repr(line[:100]),
            next_step="scan a file of exact versions, such as one that pip freeze wrote",
        )
    return Package(canonicalize_name(requirement.name), pins[0].version)


def installed() -> list[Package]:
    """Return what this interpreter has installed."""
    found = {
        Package(canonicalize_name(each.metadata["Name"]), each.version)
        for each in metadata.distributions()
        if each.metadata["Name"]
    }
    return sorted(found)


def gather(locks: Iterable[Path], *, environment: bool) -> Packages:
    """Return every package with the places that name it. Raises TargetError."""
    found: Packages = {}
    for path in locks:
        for package in read_lock(path):
            found.setdefault(package, set()).add(path.name)
    if environment:
        for package in installed():
            found.setdefault(package, set()).add(INSTALLED)
    return found
