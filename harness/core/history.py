"""The append-only record of a run: written by any process of the run, read by every report."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError
from harness.core.events import KINDS, SCHEMA_VERSION, Event
from harness.core.redaction import Redactor

HISTORY_FILE = "run.jsonl"


class History:
    """Writer of ``run.jsonl``: one locked append per event, so that parallel workers interleave
    whole lines and a line that was written survives the death of its writer."""

    def __init__(
        self, run_dir: Path, *, worker: str = "main", redactor: Redactor | None = None
    ) -> None:
        self.run_dir = run_dir
        self.worker = worker
        self.redactor = redactor or Redactor()
        run_dir.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(
            run_dir / HISTORY_FILE,
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
            0o644,
        )

    def write(self, event: Event, *, t: float | None = None) -> None:
        """Append ``event``, stamped ``t`` (UTC seconds, now by default), with secrets redacted.

        Raises:
            HarnessError: the line could not be written whole (disk full, directory removed).
        """
        record: dict[str, Any] = {
            "v": SCHEMA_VERSION,
            "t": time.time() if t is None else t,
            "worker": self.worker,
            "kind": event.KIND,
        }
        record.update(dataclasses.asdict(event))  # type: ignore[call-overload]
        line = self.redactor.redact(json.dumps(record, ensure_ascii=False, default=_plain)) + "\n"
        # A lone surrogate from a target's answer must not cost the record of it.
        data = line.encode(errors="backslashreplace")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                written = os.write(self._fd, data)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError as error:
            raise HarnessError(
                "The run's history could not be written, so the run proves nothing.",
                expected=f"an append to {self.run_dir / HISTORY_FILE}",
                actual=str(error),
                next_step="make room or choose another place with --run-dir, then run again",
            ) from error
        if written != len(data):
            raise HarnessError(
                "The run's history was cut short.",
                expected=f"{len(data)} bytes appended",
                actual=f"{written} bytes",
                next_step="make room on the disk, then run again",
            )

    def close(self) -> None:
        """Close the file; the history stays readable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@dataclass(frozen=True)
class Record:
    """One line of a history: its envelope, the event if its kind is known, and all raw fields."""

    t: float
    worker: str
    kind: str
    event: Event | None
    fields: dict[str, Any]


def read_history(run_dir: Path) -> Iterator[Record]:
    """Yield the records of a run in order of time.

    A last line that was cut by the death of its writer is left out. Kinds that this version does
    not know come with ``event=None``; unknown fields of a known kind stay in ``fields`` only.

    Raises:
        HarnessError: there is no history, a line inside it is damaged, or its schema is newer.
    """
    path = run_dir / HISTORY_FILE
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise HarnessError(
            "There is no history to read.",
            expected=f"a run directory with {HISTORY_FILE}",
            actual=str(error),
            next_step="name a directory below runs/, for instance: ragdrill report runs/<run>",
        ) from error
    records = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            raw = json.loads(line)
            records.append(_record(raw))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                continue
            raise HarnessError(
                f"Line {number} of the history is damaged.",
                expected="one JSON object with v, t, worker, kind and the fields of its kind",
                actual=f"{line[:120]!r} ({error})",
                next_step="a history is never edited: take the original run directory",
            ) from error
    records.sort(key=lambda record: record.t)
    yield from records


def _record(raw: dict[str, Any]) -> Record:
    if raw["v"] > SCHEMA_VERSION:
        raise HarnessError(
            "This history was written by a newer version.",
            expected=f"schema version {SCHEMA_VERSION} or older",
            actual=f"version {raw['v']}",
            next_step="update this checkout and render again",
        )
    kind = KINDS.get(raw["kind"])
    event = None
    if kind is not None:
        names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        event = kind(**{name: value for name, value in raw.items() if name in names})
    return Record(float(raw["t"]), str(raw["worker"]), str(raw["kind"]), event, raw)


def _plain(value: object) -> object:
    """Make what the standard encoder refuses readable: paths, enums, sets, numpy numbers."""
    if hasattr(value, "value") and not callable(value.value):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
