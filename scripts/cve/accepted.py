"""Findings that are accepted for a while: each with its reason and the day on which that ends."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from packaging.utils import canonicalize_name

from harness.core.errors import UsageError
from scripts.cve.findings import Finding

MOST_DAYS = 180
"""A finding that is accepted for longer is one that nobody means to look at again."""
_KEYS = {"id", "package", "reason", "until", "owner"}


@dataclass(frozen=True)
class Accepted:
    """One entry; ``until`` is the last day on which it holds."""

    id: str
    package: str
    reason: str
    until: date
    owner: str

    def covers(self, finding: Finding) -> bool:
        """Whether it is about this finding, expired or not."""
        return self.id in finding.ids and self.package == canonicalize_name(finding.package.name)


def load(path: Path, today: date | None = None) -> list[Accepted]:
    """Return the entries of a file; none where there is no file.

    Raises:
        UsageError: an entry lacks a key, has one too many, or holds for longer than
            :data:`MOST_DAYS` days from now.
    """
    today = today or datetime.now(UTC).date()
    if not path.exists():
        return []
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("accepted", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path.name} can't be read.", expected="TOML with [[accepted]]", actual=str(error)
        ) from error
    found = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path.name}: entry {number}"
        if not isinstance(entry, dict) or set(entry) != _KEYS:
            raise UsageError(f"{where} can't be read.", expected=", ".join(sorted(_KEYS)),
                             actual=", ".join(sorted(entry)))  # fmt: skip
        until = entry["until"]
        if not isinstance(until, date) or isinstance(until, datetime):
            raise UsageError(f"{where}: until is a date.", actual=repr(until))
        if until > today + timedelta(days=MOST_DAYS):
            raise UsageError(f"{where} accepts {entry['id']} for too long.",
                             expected=f"at most {MOST_DAYS} days", actual=until)  # fmt: skip
        if not str(entry["reason"]).strip() or not str(entry["owner"]).strip():
            raise UsageError(f"{where} has no reason or no owner.")
        package = canonicalize_name(str(entry["package"]))
        found.append(
            Accepted(str(entry["id"]), package, entry["reason"], until, str(entry["owner"]))
        )
    return found
