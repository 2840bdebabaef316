"""Small private files, written in one step, and the lock that keeps two rotations apart."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from scripts.dayops.script import locked


def write(path: Path, text: str) -> None:
    """Replace a file in one step, durably; nobody else can read it, and its owner stays.

    A service that runs as another user than this one goes on reading what it owned before.
    """
    partial = path.with_name(f".{path.name}.partial")
    before = path.stat() if path.exists() else path.parent.stat()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, before.st_mode & 0o777 if path.exists() else 0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)


def read_json(path: Path, what: str) -> Any:
    """Return what a file holds.

    Raises:
        UsageError: there is none, or it is no JSON. The text is not shown: it may hold keys.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{what} can't be read.", expected=f"JSON in {path}", actual=type(error).__name__
        ) from error


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other rotations of what this file holds away; the lock dies with the process.

    Raises:
        Busy: one is under way.
    """
    what = "Another rotation of this key is under way."
    with locked(path.with_name(f".{path.name}.lock"), what):
        yield


class Register:
    """The register of keys that the exporter reads: since when each key is the one in use.

    ``{"keys": [{"key", "kind": "jwt" or "api", "created": ISO 8601}]}``; it never holds a key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def created(self, key: str) -> datetime | None:
        """Return since when, or None for a key that is not registered. Raises UsageError."""
        for entry in self._entries():
            if entry.get("key") == key:
                try:
                    made = datetime.fromisoformat(str(entry["created"]))
                except (KeyError, ValueError):
                    made = None
                if made is None or made.tzinfo is None:
                    raise UsageError(
                        f"The register's date of {key} can't be read.",
                        expected="ISO 8601 with its time zone",
                        actual=repr(entry.get("created")),
                        next_step=f"correct it in {self._path}",
                    )
                return made
        return None

    def record(self, key: str, kind: str, made: datetime) -> None:
        """Say since when the key in use is there; other entries stay as they are."""
        entries = [each for each in self._entries() if each.get("key") != key]
        stamp = made.astimezone(UTC).isoformat(timespec="seconds")
        entries.append({"key": key, "kind": kind, "created": stamp})
        write(self._path, json.dumps({"keys": entries}, indent=1) + "\n")

    def _entries(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        document = read_json(self._path, "The register of keys")
        entries = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise UsageError(
                "The register of keys is none.",
                expected='{"keys": [{"key", "kind", "created"}]}',
                actual=f"another document in {self._path}",
            )
        return entries


def audit(beside: Path, **told: Any) -> None:
    """Append what was done to ``<file>.log``, one JSON object a line; it never holds a key."""
    line = json.dumps({"ts": datetime.now(UTC).isoformat(timespec="seconds"), **told})
    with beside.with_name(f"{beside.name}.log").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
