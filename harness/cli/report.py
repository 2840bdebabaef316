"""``ragdrill report``: render a run again, or compare two."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness.core.run import CHECKOUT


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "report",
        help="render a run again from its history, or compare two runs",
        description="ragdrill report [RUN]        render a run (default: the newest in runs/)\n"
        "ragdrill report diff A B    compare two runs, before and after",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", metavar="RUN | diff A B")
    parser.add_argument(
        "--annotations",
        action="store_true",
        help="write nothing; print what was not shown as GitHub workflow commands",
    )
    parser.set_defaults(handler=report)


def report(options: argparse.Namespace) -> int:
    """Hand over to the renderer."""
    from reports.__main__ import main as render_main

    words: list[str] = list(options.what)
    if not words:
        words = [str(newest_run())]
    if options.annotations:
        words.append("--annotations")
    return int(render_main(words))


def newest_run() -> Path:
    """Return the newest run directory below ``runs/``.

    Raises:
        UsageError: there is none.
    """
    from harness.core.errors import UsageError

    found = sorted(
        (path.parent for path in (CHECKOUT / "runs").glob("*/run.jsonl")),
        key=lambda path: path.stat().st_mtime,
    )
    if not found:
        raise UsageError(
            "There is no run to render.",
            expected="a run in runs/",
            next_step="ragdrill verify makes one",
        )
    return found[-1]
