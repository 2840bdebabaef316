"""Command line of the reports: ``python -m reports RUN`` and ``python -m reports diff A B``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from harness.core.errors import HarnessError
from harness.core.verdicts import ExitCode
from reports import annotations, comparison, terminal
from reports.judgement import judge
from reports.model import load
from reports.rendering import render

_CODES = """exit codes:
  0  the reports were written (whatever the verdict of the run), or nothing got worse
  1  diff only: a verdict got worse, or a measure got worse beyond its noise
  2  there is no readable history, or the reports could not be written
  4  the command line is wrong"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return _diff(given[1:]) if given[:1] == ["diff"] else _render(given)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return ExitCode.HARNESS_ERROR


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(ExitCode.USAGE)


def _render(given: list[str]) -> int:
    parser = _Parser(
        "python -m reports",
        description="Render index.html, junit.xml and summary.md of a run. "
        "To compare two runs: python -m reports diff BEFORE AFTER.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="run directory, the one that holds run.jsonl")
    parser.add_argument("--out", type=Path, help="where to write (default: the run directory)")
    parser.add_argument(
        "--annotations",
        action="store_true",
        help="write nothing; print what was not shown as GitHub workflow commands",
    )
    chosen = parser.parse_args(given)
    if chosen.annotations:
        print(annotations.render(judge(load(chosen.run))), end="")
        return ExitCode.PASS
    rendered = render(chosen.run, chosen.out)
    terminal.print_summary(rendered.judgement, Console(), str(rendered.index))
    return ExitCode.PASS


def _diff(given: list[str]) -> int:
    parser = _Parser(
        "python -m reports diff",
        description="Compare two runs: verdicts, measures with their intervals, components.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=Path, help="run directory of the earlier run")
    parser.add_argument("after", type=Path, help="run directory of the later run")
    parser.add_argument("--markdown", type=Path, help="also write the comparison as Markdown")
    chosen = parser.parse_args(given)
    found = comparison.compare(chosen.before, chosen.after)
    Console().print(comparison.table(found))
    if chosen.markdown is not None:
        comparison.write_markdown(found, chosen.markdown)
    return ExitCode.NOT_CONFORMANT if found.worse else ExitCode.PASS


if __name__ == "__main__":
    raise SystemExit(main())
