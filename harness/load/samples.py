"""Raw samples of a load run as arrays, and the file they are read from while it grows."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DROPPED = "dropped"
"""The error of an arrival that was never sent, because too many requests were open."""


@dataclass(frozen=True, slots=True)
class LoadSamples:
    """Samples in arrival order. Times are seconds since the start of the run.

    ``number`` int64 (arrival), ``intended`` ``started`` ``finished`` float64 (NaN where it never
    was), ``status`` int64 (0: no response), ``bytes`` int64 (body); the lists run beside them:
    ``error`` (kind or ``None``, see :meth:`harness.load.exchange.Exchanger.send`), ``key``,
    ``reused`` (over a connection used before), ``headers`` and ``extract`` (as the plan asked).
    """

    number: NDArray[np.int64]
    intended: NDArray[np.float64]
    started: NDArray[np.float64]
    finished: NDArray[np.float64]
    status: NDArray[np.int64]
    bytes: NDArray[np.int64]
    error: list[str | None]
    key: list[str]
    reused: list[bool]
    headers: list[dict[str, str]]
    extract: list[dict[str, Any]]

    @classmethod
    def from_rows(cls, rows: list[dict[str, Any]]) -> LoadSamples:
        """Build the arrays from decoded lines of ``samples.jsonl``, in any order."""
        ordered = sorted(rows, key=lambda row: int(row["i"]))
        nan = float("nan")

        def floats(name: str) -> NDArray[np.float64]:
            return np.array([row.get(name, nan) for row in ordered], dtype=np.float64)

        def ints(name: str) -> NDArray[np.int64]:
            return np.array([row.get(name, 0) for row in ordered], dtype=np.int64)

        return cls(
            number=ints("i"),
            intended=floats("intended"),
            started=floats("started"),
            finished=floats("finished"),
            status=ints("status"),
            bytes=ints("bytes"),
            error=[row.get("error") for row in ordered],
            key=[row.get("key", "") for row in ordered],
            reused=[bool(row.get("reused", False)) for row in ordered],
            headers=[row.get("headers", {}) for row in ordered],
            extract=[row.get("extract", {}) for row in ordered],
        )

    def __len__(self) -> int:
        return len(self.number)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """True where a whole response with a status of 200 to 299 came."""
        answered = np.array([error is None for error in self.error], dtype=np.bool_)
        return answered & (self.status >= 200) & (self.status < 300)

    @property
    def latency(self) -> NDArray[np.float64]:
        """Seconds from the intended start to the end of the response, whatever its status."""
        return self.finished - self.intended

    @property
    def answered_latency(self) -> NDArray[np.float64]:
        """Latency of what succeeded, and infinity for what failed or was dropped.

        This is what a percentile of a service's latency is taken of: an error that comes fast is
        no fast answer.
        """
        return np.where(self.ok, self.latency, np.inf)

    @property
    def lateness(self) -> NDArray[np.float64]:
        """Seconds by which the generator itself was late, of the arrivals that were sent."""
        sent = ~np.isnan(self.started)
        return (self.started - self.intended)[sent]

    def counts(self) -> dict[str, int]:
        """Return the number of samples by status (``"200"``) or by error (``"timeout"``)."""
        found = Counter(
            error if error is not None else str(int(status))
            for error, status in zip(self.error, self.status, strict=True)
        )
        return dict(sorted(found.items()))

    def select(self, mask: NDArray[np.bool_]) -> LoadSamples:
        """Return the samples where ``mask`` is true."""
        chosen = np.flatnonzero(mask)
        return LoadSamples(
            number=self.number[chosen],
            intended=self.intended[chosen],
            started=self.started[chosen],
            finished=self.finished[chosen],
            status=self.status[chosen],
            bytes=self.bytes[chosen],
            error=[self.error[i] for i in chosen],
            key=[self.key[i] for i in chosen],
            reused=[self.reused[i] for i in chosen],
            headers=[self.headers[i] for i in chosen],
            extract=[self.extract[i] for i in chosen],
        )

    def between(self, begin: float, end: float) -> LoadSamples:
        """Return the samples whose intended start lies in ``[begin, end)``."""
        return self.select((self.intended >= begin) & (self.intended < end))

    def with_key(self, key: str) -> LoadSamples:
        """Return the samples of the templates with this key."""
        return self.select(np.array([own == key for own in self.key], dtype=np.bool_))

    def write_history(self, path: Path, began_utc: float, arm: str = "") -> int:
        """Write the samples in the format of ``case.samples`` and return their number."""
        path.parent.mkdir(parents=True, exist_ok=True)
        ok, latency = self.ok, self.latency
        with path.open("w", encoding="utf-8") as file:
            for position in range(len(self)):
                row = {
                    "t": round(began_utc + float(self.intended[position]), 6),
                    "seconds": None if np.isnan(latency[position]) else round(latency[position], 6),
                    "status": int(self.status[position]),
                    "ok": bool(ok[position]),
                    "error": self.error[position],
                    "arm": arm,
                }
                file.write(json.dumps(row) + "\n")
        return len(self)


class SampleFile:
    """Reads ``samples.jsonl`` while the generator writes it; a half-written line waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self._rows: list[dict[str, Any]] = []

    def rows(self) -> list[dict[str, Any]]:
        """Return every whole line so far, decoded."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return self._rows
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rows.extend(json.loads(line) for line in lines)
        return self._rows
