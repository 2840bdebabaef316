"""The matrix of seeded defects: which bug was caught by which case, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict
from reports.html import environment

RECORDS = "defects"


@dataclass(frozen=True)
class Row:
    """One defect's run; ``problem`` is empty when it was caught as claimed."""

    defect: str
    sentence: str
    modules: str
    catches: str
    verdict: str
    message: str
    problem: str


@dataclass(frozen=True)
class Matrix:
    """All rows of one run of the defects, those not caught first."""

    rows: tuple[Row, ...]

    @property
    def missed(self) -> int:
        """How many were not caught as claimed."""
        return sum(1 for row in self.rows if row.problem)

    @property
    def verdict(self) -> Verdict:
        """Pass when each was caught; of no defect at all, skip: nothing was shown."""
        if not self.rows:
            return Verdict.SKIP
        return Verdict.FAIL if self.missed else Verdict.PASS

    @property
    def headline(self) -> str:
        """The verdict in a sentence."""
        if not self.rows:
            return "No defect was run."
        if self.missed:
            return f"{self.missed} of {len(self.rows)} defects were not caught as claimed."
        return f"All {len(self.rows)} defects were caught by the case that claims to."


def load(directory: Path) -> Matrix:
    """Read the records of a defect run (``defects/*.json`` below ``directory``).

    Raises:
        HarnessError: a record is unreadable.
    """
    rows = []
    for path in sorted((directory / RECORDS).glob("*.json")):
        try:
            raw = json.loads(path.read_text())
            names = [raw["module"]] if isinstance(raw["module"], str) else raw["module"]
            rows.append(
                Row(
                    raw["defect"],
                    raw["sentence"],
                    ", ".join(names),
                    raw["catches"],
                    raw["verdict"],
                    raw["message"],
                    raw["problem"],
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise HarnessError(
                "The record of a defect can't be read.", actual=f"{path}: {error}"
            ) from error
    return Matrix(tuple(sorted(rows, key=lambda row: (not row.problem, row.catches, row.defect))))


def render(directory: Path) -> Path:
    """Write ``index.html`` of a defect run and return where it lies."""
    page = environment().get_template("defects.html.j2").render(matrix=load(directory))
    path = directory / "index.html"
    path.write_bytes(page.encode(errors="replace"))
    return path
