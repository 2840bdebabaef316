"""Records in the OSV format (ossf.github.io/osv-schema): whom they concern, and how badly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from cvss import CVSS2, CVSS3, CVSS4, CVSSError
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from scripts.cve.findings import Finding, Package, worse

Record = Mapping[str, Any]
ECOSYSTEM = "PyPI"
_WORDS = {"LOW": "LOW", "MODERATE": "MEDIUM", "MEDIUM": "MEDIUM", "HIGH": "HIGH"}
_WORDS |= {"CRITICAL": "CRITICAL", "NONE": "NONE"}
_CVSS = {"CVSS_V2": CVSS2, "CVSS_V3": CVSS3, "CVSS_V4": CVSS4}


def concerns(record: Record) -> set[str]:
    """Return the names of PyPI's packages that a record is about, in their normal form."""
    return {
        canonicalize_name(str(each["package"]["name"]))
        for each in record.get("affected") or ()
        if str((each.get("package") or {}).get("ecosystem", "")).split(":")[0] == ECOSYSTEM
    }


def modified(record: Record) -> datetime:
    """Return when a record was last changed. Raises ValueError, KeyError."""
    found = datetime.fromisoformat(str(record["modified"]).replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def finding(record: Record, package: Package, where: Iterable[str]) -> Finding | None:
    """Return what a record says of a package, or None where it does not concern it.

    A record that was withdrawn concerns nobody. Raises KeyError, TypeError, AttributeError for
    what is no record.
    """
    if record.get("withdrawn"):
        return None
    affected = [
        each
        for each in record.get("affected") or ()
        if str((each.get("package") or {}).get("ecosystem", "")).split(":")[0] == ECOSYSTEM
        and canonicalize_name(str(each["package"]["name"])) == package.name
        and _affects(each, package.version)
    ]
    if not affected:
        return None
    return Finding(
        package,
        str(record["id"]),
        severity(record, affected),
        frozenset(str(alias) for alias in record.get("aliases") or ()),
        tuple(sorted({fixed for each in affected for fixed in _fixed(each)})),
        str(record.get("summary") or record.get("details") or "").strip().split("\n")[0][:200],
        tuple(sorted(where)),
    )


def severity(record: Record, affected: Iterable[Mapping[str, Any]]) -> str:
    """Return the worst severity that a record states, by CVSS or in a word; else UNKNOWN."""
    found = "UNKNOWN"
    for part in (record, *affected):
        for stated in part.get("severity") or ():
            found = worse(found, _of_vector(stated))
        for place in ("database_specific", "ecosystem_specific"):
            word = (part.get(place) or {}).get("severity")
            if isinstance(word, str):
                found = worse(found, _WORDS.get(word.upper(), "UNKNOWN"))
    return found


def _of_vector(stated: Mapping[str, Any]) -> str:
    made = _CVSS.get(str(stated.get("type")))
    if made is None:
        return "UNKNOWN"
    try:
        vector = made(str(stated.get("score")))
    except CVSSError:
        return "UNKNOWN"
    score = float(vector.base_score)
    # The bands of CVSS 3 and 4; version 2 has no word for 9 and more.
    for least, word in ((9.0, "CRITICAL"), (7.0, "HIGH"), (4.0, "MEDIUM"), (0.1, "LOW")):
        if score >= least:
            return word
    return "NONE" if math.isfinite(score) else "UNKNOWN"


def _affects(affected: Mapping[str, Any], version: str) -> bool:
    """Whether a version is among those affected; what can't be told is taken for affected."""
    listed = affected.get("versions") or ()
    if any(_equal(str(each), version) for each in listed):
        return True
    ranges = [r for r in affected.get("ranges") or () if r.get("type") in ("ECOSYSTEM", "SEMVER")]
    if not ranges:
        # Only commits are named, or nothing: whether this version has it, the record leaves open.
        return not listed
    return any(_within(each.get("events") or (), version) for each in ranges)


def _equal(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _within(events: Iterable[Mapping[str, Any]], version: str) -> bool:
    """The algorithm of the OSV schema: the last event at or before the version decides."""
    try:
        own = Version(version)
        moments = sorted((_moment(event) for event in events), key=lambda moment: moment[:2])
    except (InvalidVersion, StopIteration):
        return True
    inside = False
    for at, _rank, kind in moments:
        reached = own > at if kind == "last_affected" else own >= at
        if reached and kind != "limit":
            inside = kind == "introduced"
    return inside


def _moment(event: Mapping[str, Any]) -> tuple[Version, int, str]:
    kind = next(name for name in ("introduced", "fixed", "last_affected", "limit") if name in event)
    text = str(event[kind])
    at = Version("0.dev0") if text == "0" else Version(text)
    return at, ("fixed", "limit", "introduced", "last_affected").index(kind), kind


def _fixed(affected: Mapping[str, Any]) -> list[str]:
    return [
        str(event["fixed"])
        for each in affected.get("ranges") or ()
        if each.get("type") != "GIT"
        for event in each.get("events") or ()
        if "fixed" in event
    ]
