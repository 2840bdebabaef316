"""The archive of the write-ahead log: names of segments, what is there, and whether any is gone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.dayops.bucket import Bucket, Stored
from scripts.dayops.manifest import WAL
from scripts.dayops.script import Log, Refused

_SEGMENT = re.compile(r"[0-9A-F]{24}")


def directory(system_identifier: str, cluster_name: str = "") -> str:
    """Return where the segments of a cluster lie in the bucket.

    The name tells clusters apart that were copied from one and so share their identifier.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", cluster_name)
    return f"{WAL}{system_identifier}{'-' + plain if plain else ''}/"


def following(name: str, segment_bytes: int) -> str:
    """Return the name of the segment after ``name`` on its timeline."""
    per_file = (1 << 32) // segment_bytes
    number = int(name[8:16], 16) * per_file + int(name[16:24], 16) + 1
    return f"{name[:8]}{number // per_file:08X}{number % per_file:08X}"


def preceding(name: str, segment_bytes: int) -> str:
    """Return the name of the segment before ``name`` on its timeline."""
    per_file = (1 << 32) // segment_bytes
    number = int(name[8:16], 16) * per_file + int(name[16:24], 16) - 1
    return f"{name[:8]}{number // per_file:08X}{number % per_file:08X}"


def is_segment(name: str) -> bool:
    """Whether a file of this name is a whole segment."""
    return _SEGMENT.fullmatch(name) is not None


@dataclass(frozen=True)
class Archive:
    """What the archive has from a segment on: ``names`` unbroken, ``gap`` the first that is gone,
    ``beyond`` what lies after the gap, ``others`` the rest (other timelines, history files)."""

    names: tuple[str, ...]
    gap: str
    beyond: tuple[str, ...]
    others: tuple[str, ...]


def look(names: Iterable[str], start: str, segment_bytes: int) -> Archive:
    """Return how far the archive reaches without a break from segment ``start``; pure."""
    all_names = sorted(set(names))
    own = {n for n in all_names if _SEGMENT.fullmatch(n) and n[:8] == start[:8] and n >= start}
    unbroken, name = [], start
    while name in own:
        unbroken.append(name)
        name = following(name, segment_bytes)
    beyond = sorted(own - set(unbroken))
    others = [
        n for n in all_names if n[:8] > start[:8] and (_SEGMENT.fullmatch(n) or ".history" in n)
    ]
    return Archive(tuple(unbroken), name if beyond else "", tuple(beyond), tuple(others))


def names_in(bucket: Bucket, where: str) -> list[str]:
    """Return the names of everything in a cluster's archive."""
    return [each.key.removeprefix(where) for each in bucket.objects(where)]


def fetch(bucket: Bucket, where: str, names: Iterable[str], into: Path, log: Log) -> int:
    """Bring segments here, each compared with the SHA-256 it was archived with; returns the bytes.

    What is there already stays. Raises Refused for one that is missing, damaged or unrecorded.
    """
    into.mkdir(exist_ok=True)
    total = 0
    for count, name in enumerate(names, start=1):
        key = where + name
        found = bucket.stat(key)
        if found is None or not found[1]:
            raise Refused(
                f"{key} was not archived by wal_archive: its SHA-256 is not known.",
                expected="a segment with the metadata sha256",
                actual="no such object" if found is None else "no metadata",
            )
        target = into / name
        if not (target.exists() and target.stat().st_size == found[0]):
            bucket.fetch(Stored(key, found[0], found[1]), target)
        total += found[0]
        log.progress(f"{count} log segments read")
    return total


def refuse_gap(archive: Archive, where: str) -> None:
    """Raise Refused when later segments are there and one before them is not."""
    if archive.gap:
        raise Refused(
            "The archive of the write-ahead log has a gap.",
            expected=f"{where}{archive.gap}",
            actual=f"it is missing; {len(archive.beyond)} later ones are there, from "
            f"{archive.beyond[0]} on",
            next_step="take a new base backup now; what was written after the gap can't be "
            "recovered from this one (--to-time with a moment before it can be)",
        )
