"""What leaked, as reports show it: what was asked by whom, what came back, and whose it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.core.events import Observation

MOST = 12
"""Leaks of one observation that a page shows; ``run.jsonl`` keeps the same."""


@dataclass(frozen=True)
class ShownLeak:
    """One leak. ``before``, ``marker`` and ``after`` are what came back, blacked out already but
    for the marker; ``request`` is a shell line, empty where nothing was sent."""

    probe: str
    asker: str
    request: str
    where: str
    whose: str
    before: str
    marker: str
    after: str


def leaks_of(observations: Iterable[Observation]) -> list[ShownLeak]:
    """Return the leaks that observations carry in ``details["leaks"]``, ``MOST`` at most."""
    found = []
    for seen in observations:
        rows = seen.details.get("leaks")
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict):
                found.append(_shown({key: str(value) for key, value in row.items()}))
    return found[:MOST]


def _shown(row: dict[str, str]) -> ShownLeak:
    text, marker = row.get("found", ""), row.get("marker", "")
    at = text.lower().find(marker.lower()) if marker else -1
    before, after = (text[:at], text[at + len(marker) :]) if at >= 0 else (text, "")
    return ShownLeak(
        probe=row.get("probe", ""),
        asker=row.get("asker", ""),
        request=row.get("request", ""),
        where=row.get("where", ""),
        whose=row.get("whose", ""),
        before=before,
        marker=text[at : at + len(marker)] if at >= 0 else "",
        after=after,
    )
