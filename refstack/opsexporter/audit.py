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

    def read(self) -> list[Sample]:
        """Nothing before the first audit; raises ValueError or KeyError for what is no report."""
        try:
            document = json.loads(self._report.read_text())
            at = self._report.stat().st_mtime
        except FileNotFoundError:
            return []
        return [
            Sample("rag_leakage_findings", float(document["leaks"])),
            Sample("rag_leakage_audit_timestamp_seconds", at),
        ]

    def close(self) -> None:
        """Nothing stays open."""
