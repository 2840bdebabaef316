"""Finds every point of the vector store that is not where the metadata store says it belongs.

Compares tenant, persona, document and chunk of each point's payload with the owner that the
metadata store names, in one streaming pass; changes nothing. A collection that is deleted while the
audit goes on is named in the report, and collections are listed anew until all of them are read.
Writes index.html (a page that an alert can link to), leaks.jsonl (every finding) and report.json
(figures) below --out, and posts to the chat when something is wrong.

exit codes: 0 clean; 1 leaked points or contradicting rows were found; 2 the audit could not be
done, which shows nothing; 4 bad arguments or settings
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.core.errors import HarnessError
from scripts.dayops.environment import Environment
from scripts.leakage.auditing import Report, audit
from scripts.leakage.claims import VectorStore
from scripts.leakage.findings import FINDINGS_FILE, REPORT_FILE
from scripts.leakage.ownership import Ownership
from scripts.leakage.page import link_to, write_page
from scripts.leakage.telling import (
    CLEAN,
    LEAK,
    UNCHECKED,
    Parser,
    explain,
    progress,
    step,
    tell_chat,
)

NEEDED = ("QDRANT_URL", "QDRANT_API_KEY", "DATABASE_URL")
USED = (*NEEDED, "CHAT_WEBHOOK_URL", "REPORT_BASE_URL")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = Parser("leakage_audit.py", __doc__ or "", USED)
    made.add_argument(
        "--out", type=Path, help="directory for the report (default: runs/leakage-<UTC time>)"
    )
    made.add_argument(
        "--collections", default="*", metavar="PATTERN",
        help="shell pattern of the collections to audit (default: all)",
    )  # fmt: skip
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Audit and tell; returns the exit code."""
    environment = Environment()
    try:
        arguments = parser().parse_args(argv)
        environment = Environment.with_all(*NEEDED)
        directory = report_directory(arguments.out)
        report = run_audit(environment, directory, arguments.collections)
    except HarnessError as error:
        code = explain(error)
        if code == UNCHECKED:
            step("audit_impossible", reason=error.what)
            tell_chat(environment, f"Leakage audit: could not be done. {error.what}")
        return code
    page = write_page(report, directory)
    link = link_to(page, environment)
    step("audited", points=report.points, leaks=report.leaks, page=str(page), link=link,
         seconds=round(report.seconds, 2), **report.kinds, rows=len(report.rows),
         deleted=report.deleted)  # fmt: skip
    if report.deleted:
        print(deleted_in_words(report), file=sys.stderr)
    if not report.leaks:
        return CLEAN
    tell_chat(environment, f"Leakage audit: {in_words(report)}. Report: {link}")
    print(f"{in_words(report)}\n{link}", file=sys.stderr)
    return LEAK


def report_directory(asked: Path | None) -> Path:
    """Make and return the directory of a report, without what says that one is finished."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    directory = asked or Path("runs") / f"leakage-{stamp}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / REPORT_FILE).unlink(missing_ok=True)
    return directory


def run_audit(environment: Environment, directory: Path, collections: str) -> Report:
    """Audit the stores that the environment names; the findings go below ``directory``.

    Raises:
        TargetError: it could not be done whole.
    """
    with (
        VectorStore(environment["QDRANT_URL"], environment["QDRANT_API_KEY"]) as store,
        Ownership(environment["DATABASE_URL"]) as ownership,
    ):
        return audit(
            store,
            ownership,
            directory / FINDINGS_FILE,
            collections=collections,
            progress=progress(),
        )


def in_words(report: Report) -> str:
    """Return the findings in one sentence without a full stop."""
    kinds = [f"{count:,} {kind}" for kind, count in report.kinds.items() if count]
    points = f"{sum(report.kinds.values()):,} of {report.points:,} points leaked"
    told = f"{points} ({', '.join(kinds)})" if kinds else f"none of {report.points:,} points leaked"
    if report.rows:
        told += f"; {len(report.rows):,} rows of the metadata store contradict another"
    return told


def deleted_in_words(report: Report) -> str:
    """Return what was not audited because it was deleted meanwhile, and what that means."""
    read = ", ".join(each.name for each in report.collections)
    return (
        f"Deleted while the audit went on, and so not part of it: {', '.join(report.deleted)}. "
        f"Read, by a list that was made afterwards: {read}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
