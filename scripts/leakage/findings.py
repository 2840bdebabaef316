"""What an audit finds, and the files that keep it: one JSON object a line, readable by a purge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.errors import UsageError

KINDS = {
    "misplaced": "the payload names another namespace, document or chunk than the point's owner",
    "foreign": "not known by its id, and it holds a chunk of another tenant or persona",
    "duplicated": "not known by its id, and it holds a chunk of its own namespace once more",
    "unowned": "no chunk in the metadata store answers for it",
}
"""The kinds of leaked points, and what each means. ``scripts/leakage_audit.sql`` decides them."""

FINDINGS_FILE = "leaks.jsonl"
REPORT_FILE = "report.json"
"""Written last: an audit that was interrupted has none."""


@dataclass(frozen=True)
class Finding:
    """One leaked point: where it lies, what its payload claims, and whose chunk it is or holds.

    The claimed fields are None where the payload says nothing. ``note`` says what is wrong with
    the payload itself. The ``owner_*`` fields are None where nobody owns it.
    """

    collection: str
    point_id: int | str
    tenant_id: str | None
    persona: str | None
    document_id: str | None
    chunk_id: str | None
    note: str | None
    kind: str
    owner_tenant: str | None
    owner_persona: str | None
    owner_document: str | None
    owner_chunk: str | None
    owner_point: str | None

    @property
    def claims(self) -> str:
        """The namespace that the payload names, for people."""
        return f"{self.tenant_id or '(none)'} / {self.persona or '(none)'}"

    @property
    def owner(self) -> str:
        """The namespace whose chunk it is or holds, for people."""
        if self.owner_tenant is None:
            return "nobody"
        return f"{self.owner_tenant} / {self.owner_persona}"


@dataclass(frozen=True)
class RowFinding:
    """Rows of the metadata store that contradict each other."""

    finding: str
    tenant_id: str
    persona: str
    document_id: str
    chunk_id: str
    point_id: str


def as_line(finding: Finding) -> bytes:
    """Return the finding as one line of :data:`FINDINGS_FILE`."""
    return json.dumps(asdict(finding), ensure_ascii=False).encode() + b"\n"


def audited(directory: Path) -> Path:
    """Return the findings' file of an audit that came to its end.

    Raises:
        UsageError: there is no audit, or only the beginning of one.
    """
    if not (directory / REPORT_FILE).is_file():
        raise UsageError(
            "There is no finished audit in that directory.",
            expected=f"{FINDINGS_FILE} and {REPORT_FILE} in {directory}",
            actual=", ".join(sorted(p.name for p in directory.glob("*"))) or "nothing",
            next_step=f"run scripts/leakage_audit.py --out {directory}",
        )
    return directory / FINDINGS_FILE


def read_findings(path: Path) -> Iterator[Finding]:
    """Yield the findings that an audit kept.

    Raises:
        UsageError: the file is missing, or a line of it is no finding.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(
            "The findings cannot be read.",
            expected=f"{path}, as scripts/leakage_audit.py writes it",
            actual=error.strerror,
            next_step="run scripts/leakage_audit.py first, and pass its --out",
        ) from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                finding = Finding(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise UsageError(
                    f"Line {number} of {path.name} is no finding.",
                    expected="what scripts/leakage_audit.py writes",
                    actual=str(error)[:200],
                    next_step="run the audit again: an interrupted one leaves no report.json",
                ) from error
            if finding.kind not in KINDS:
                raise UsageError(
                    f"Line {number} of {path.name} is of no kind that is purged.",
                    expected=", ".join(KINDS),
                    actual=finding.kind,
                )
            yield finding
