"""How far an upgrade of the vector store has come: one document in the bucket of the backups."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from harness.core.errors import TargetError
from scripts.dayops.bucket import Bucket

KEY = "upgrades/vectordb.json"
"""Where it lies. The next upgrade overwrites it."""
FORMAT = "ragdrill-upgrade-1"


@dataclass
class Journal:
    """One upgrade. What it says was begun may or may not have had its effect.

    ``backup`` is the backup that was taken before; ``answers`` are what the collections answered
    then. ``stopped``: the old version was told to end. ``touched``: the new version was told to
    start. ``filled``: the new version's empty volume is being filled. ``writers_back``: the
    writers were told to go on. ``undoing``: there is no way but back. ``ended`` is empty, ``done``
    or ``undone``.
    """

    now: str
    to: str
    fresh: bool
    backup: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    touched: bool = False
    filled: bool = False
    writers_back: bool = False
    undoing: bool = False
    ended: str = ""

    def summary(self) -> dict[str, Any]:
        """What a person wants to know of it."""
        return {name: value for name, value in asdict(self).items() if name != "answers"}


class Logbook:
    """Reads and writes the journal."""

    def __init__(self, bucket: Bucket, scratch: Path) -> None:
        self._bucket, self._scratch = bucket, scratch

    def load(self) -> Journal | None:
        """Return the last upgrade's journal, None before the first. Raises TargetError."""
        data = self._bucket.read(KEY)
        if data is None:
            return None
        try:
            raw = json.loads(data)
            if raw.pop("format") != FORMAT:
                raise ValueError("another format")
            return Journal(**{each.name: raw[each.name] for each in fields(Journal)})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TargetError(
                "The journal of the last upgrade can't be read.",
                expected=f"a document of this script at {KEY} in the bucket",
                actual=f"{type(error).__name__}: {error}",
                next_step="find out who wrote it; an upgrade may be half done",
            ) from error

    def save(self, journal: Journal) -> None:
        """Write it; from now on another run knows."""
        self._bucket.put_json(KEY, {"format": FORMAT, **asdict(journal)}, self._scratch)
