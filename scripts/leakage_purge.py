"""Removes the points that an audit found leaked, and nothing else.

Each point is judged once more before it goes, so what has been put right since stays. It goes by
the API's delete with its id and the namespace that its payload names, is looked for again, and an
audit at the end shows what is left. Can be interrupted and run again with the same --findings.
Writes removed.jsonl (every point, before it goes), purge.json and purge.md beside the findings.

exit codes: 0 done, and nothing leaked is left; 1 leaks are left; 2 it could not be done; 4 bad
arguments or settings. With --dry-run: 0 nothing would be removed, 1 something would
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.core.errors import HarnessError
from scripts.dayops.environment import Environment
from scripts.leakage.auditing import Report, audit
from scripts.leakage.claims import VectorStore
from scripts.leakage.findings import FINDINGS_FILE, audited, read_findings
from scripts.leakage.ownership import Ownership
from scripts.leakage.page import write_page
from scripts.leakage.purging import Outcome, Purge
from scripts.leakage.record import record_file, write_record
from scripts.leakage.telling import CLEAN, LEAK, Parser, explain, progress, step
from scripts.leakage_audit import NEEDED, report_directory


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = Parser("leakage_purge.py", __doc__ or "", NEEDED)
    made.add_argument(
        "--findings", type=Path, metavar="DIR",
        help="the --out of an audit (default: an audit of now, below runs/)",
    )  # fmt: skip
    made.add_argument("--dry-run", action="store_true", help="remove nothing, name what would go")
    made.add_argument(
        "--digest", action="store_true",
        help="compare the content of everything else before and after; takes a standstill of "
        "writers, and about a minute per 100,000 points",
    )  # fmt: skip
    made.add_argument(
        "--most", type=int, metavar="N",
        help="allow N points of a collection to go (default: half of them, or 100)",
    )  # fmt: skip
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Purge and tell; returns the exit code."""
    try:
        arguments = parser().parse_args(argv)
        environment = Environment.with_all(*NEEDED)
        with (
            VectorStore(environment["QDRANT_URL"], environment["QDRANT_API_KEY"]) as store,
            Ownership(environment["DATABASE_URL"]) as ownership,
        ):
            return _run(arguments, store, ownership)
    except HarnessError as error:
        step("purge_stopped", reason=error.what)
        return explain(error)


def _run(arguments: argparse.Namespace, store: VectorStore, ownership: Ownership) -> int:
    directory = arguments.findings
    if directory is None:
        directory = report_directory(None)
        write_page(_audit(store, ownership, directory), directory)
    source = audited(directory)
    purge = Purge(
        store,
        ownership,
        directory / record_file(arguments.dry_run),
        dry_run=arguments.dry_run,
        progress=progress(),
    )
    outcome = purge.run(
        lambda: read_findings(source), most=arguments.most, with_digest=arguments.digest
    )
    if arguments.dry_run:
        _tell(outcome, None, directory)
        return LEAK if outcome.total else CLEAN
    after = _audit(store, ownership, report_directory(directory / "after"))
    write_page(after, directory / "after")
    _tell(outcome, after, directory)
    return LEAK if after.leaks else CLEAN


def _audit(store: VectorStore, ownership: Ownership, directory: Path) -> Report:
    return audit(store, ownership, directory / FINDINGS_FILE, progress=progress())


def _tell(outcome: Outcome, after: Report | None, directory: Path) -> None:
    page = write_record(outcome, after, directory)
    step("purged", dry_run=outcome.dry_run, removed=outcome.total, gone=outcome.gone,
         spared=outcome.spared, record=str(page),
         left=None if after is None else after.leaks)  # fmt: skip
    print(page.read_text(encoding="utf-8"), file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
