"""What the last leakage audit found, from the report that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

from refstack.opsexporter.families import Sample


class Audit:
    """The `report.json` that `scripts/leakage_audit.py --out DIRECTORY` writes last."""

    name = "audit"

    def __init__(self, report: Path) -> None:
        self._report = report
        self._last: list[Sample] = []

    def read(self) -> list[Sample]:
        """Nothing before the first audit; raises ValueError or KeyError for what is no report.

        An audit takes the former report away first and writes its own last: meanwhile what the
        former one found still holds, or each audit during an incident would end its alert.
        """
        try:
            document = json.loads(self._report.read_text())
            at = self._report.stat().st_mtime
        except FileNotFoundError:
            return self._last
        self._last = [
            Sample("rag_leakage_findings", float(document["leaks"])),
            Sample("rag_leakage_audit_timestamp_seconds", at),
        ]
        return self._last

    def close(self) -> None:
        """Nothing stays open."""
