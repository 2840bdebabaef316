"""What a scan finds: packages, vulnerabilities, and how severe each is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

SEVERITIES = ("NONE", "LOW", "MEDIUM", "UNKNOWN", "HIGH", "CRITICAL")
"""From the mildest. A severity that nobody states is taken for HIGH, and said to be unknown."""
FAILS = frozenset({"UNKNOWN", "HIGH", "CRITICAL"})


@dataclass(frozen=True, order=True)
class Package:
    """One package of PyPI in one version; the name is in its normal form."""

    name: str
    version: str


@dataclass(frozen=True)
class Finding:
    """A vulnerability of a package that is installed.

    ``aliases`` are its other ids, ``fixed`` the versions that lack it, ``where`` who names the
    package: lock files, ``installed`` or an image.
    """

    package: Package
    id: str
    severity: str
    aliases: frozenset[str] = frozenset()
    fixed: tuple[str, ...] = ()
    summary: str = ""
    where: tuple[str, ...] = field(default=())

    @property
    def fails(self) -> bool:
        """Whether the scan fails over it."""
        return self.severity in FAILS

    @property
    def ids(self) -> frozenset[str]:
        """Every id by which it is known."""
        return self.aliases | {self.id}


def worse(one: str, other: str) -> str:
    """Return the worse of two severities; one that is stated goes before UNKNOWN."""
    if "UNKNOWN" in (one, other):
        return other if one == "UNKNOWN" else one
    return max(one, other, key=SEVERITIES.index)


def together(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding for each vulnerability: databases repeat each other by aliases."""
    groups: list[list[Finding]] = []
    for each in findings:
        same = [g for g in groups if any(_same(each, other) for other in g)]
        for group in same:
            groups.remove(group)
        groups.append([each, *(other for group in same for other in group)])
    merged = [_merged(group) for group in groups]
    return sorted(
        merged, key=lambda f: (-SEVERITIES.index(f.severity), f.package.name, f.package.version)
    )


def _same(one: Finding, other: Finding) -> bool:
    return one.package == other.package and bool(one.ids & other.ids)


def _merged(group: list[Finding]) -> Finding:
    # A CVE's number is what people look up; else whatever comes first.
    ids = sorted(set().union(*(each.ids for each in group)))
    first = min(ids, key=lambda name: (not name.startswith("CVE-"), name))
    return Finding(
        group[0].package,
        first,
        reduce(worse, (each.severity for each in group)),
        frozenset(ids) - {first},
        tuple(sorted({version for each in group for version in each.fixed})),
        next((each.summary for each in group if each.summary), ""),
        tuple(sorted({place for each in group for place in each.where})),
    )
