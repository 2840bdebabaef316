"""Trivy, where it is installed: lock files, and images with what their distribution installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from harness.core.errors import TargetError
from scripts.cve.findings import SEVERITIES, Finding, Package
from scripts.cve.inputs import Packages

PROGRAM = "trivy"
TIMEOUT_S = 1800.0


def installed() -> bool:
    """Whether there is a trivy on PATH."""
    return shutil.which(PROGRAM) is not None


def scan_packages(packages: Packages, work: Path) -> list[Finding]:
    """Return the findings of PyPI's packages.

    Trivy knows a lock file by its name alone and passes over what it does not know: the packages
    that it says it read must be the ones that were asked about.

    Raises:
        TargetError: it fails, or read fewer packages.
    """
    # A file takes one version of a package, and two lock files may differ in it.
    rounds: list[dict[str, Package]] = []
    for package in sorted(packages):
        fitting = next((each for each in rounds if package.name not in each), None)
        if fitting is None:
            fitting = {}
            rounds.append(fitting)
        fitting[package.name] = package
    found = []
    for number, round_ in enumerate(rounds):
        place = work / f"trivy-{number}"
        place.mkdir()
        lines = [f"{each.name}=={each.version}\n" for each in round_.values()]
        (place / "requirements.txt").write_text("".join(lines))
        results = _run("fs", str(place))
        read = {
            Package(canonicalize_name(str(each["Name"])), str(each["Version"]))
            for result in results
            for each in result.get("Packages") or ()
        }
        missing = set(round_.values()) - read
        if missing:
            raise TargetError(
                f"Trivy passed over {len(missing)} packages, so they were not checked.",
                expected=f"{len(round_)} packages read",
                actual=f"not {min(missing).name}",
                next_step="see what `trivy fs --list-all-pkgs` says of a requirements.txt",
            )
        for result in results:
            for each in result.get("Vulnerabilities") or ():
                name = canonicalize_name(str(each["PkgName"]))
                package = Package(name, str(each["InstalledVersion"]))
                found.append(_finding(each, package, sorted(packages.get(package, ()))))
    return found


def scan_image(image: str) -> list[Finding]:
    """Return the findings of an image.

    Raises:
        TargetError: there is no trivy, it fails, or it finds no package in the image.
    """
    if not installed():
        raise TargetError(
            f"The image {image} was not checked.",
            expected="trivy on PATH: what a distribution installed is not in PyPI's records",
            actual="no trivy",
            next_step="install it, or scan the lock files alone",
        )
    results = _run("image", image)
    if not any(result.get("Packages") for result in results):
        raise TargetError(f"Trivy found no package in {image}, so it was not checked.")
    return [
        _finding(each, Package(str(each["PkgName"]), str(each["InstalledVersion"])), [image])
        for result in results
        for each in result.get("Vulnerabilities") or ()
    ]


def _finding(each: dict[str, Any], package: Package, where: Sequence[str]) -> Finding:
    severity = str(each.get("Severity", "UNKNOWN")).upper()
    return Finding(
        package,
        str(each["VulnerabilityID"]),
        severity if severity in SEVERITIES else "UNKNOWN",
        frozenset(),
        tuple(part.strip() for part in str(each.get("FixedVersion") or "").split(",") if part),
        str(each.get("Title") or ""),
        tuple(where),
    )


def _run(what: str, target: str) -> list[dict[str, Any]]:
    options = ("--quiet", "--scanners", "vuln", "--list-all-pkgs", "--format", "json")
    command = [PROGRAM, what, *options, "--exit-code", "0", target]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        if done.returncode:
            raise ValueError(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        results = json.loads(done.stdout).get("Results") or []
    except (OSError, ValueError, AttributeError, subprocess.TimeoutExpired) as error:
        raise TargetError(
            f"Trivy could not check {target}.",
            expected="a report in JSON",
            actual=f"{type(error).__name__}: {error}",
            next_step="run it by hand; its own database comes from the network",
        ) from error
    return [each for each in results if isinstance(each, dict)]
