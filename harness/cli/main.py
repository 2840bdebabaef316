"""Entry point of the command ``ragdrill``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from harness import __version__
from harness.cli import (
    attached,
    catalogue,
    doctor,
    drill,
    faults,
    gameday,
    load_and_eval,
    playbook,
    report,
    runbook,
    stack,
    verify,
)
from harness.core.errors import HarnessError, UsageError
from harness.core.verdicts import ExitCode

_MODULES = (
    verify,
    drill,
    load_and_eval,
    stack,
    doctor,
    attached,
    report,
    catalogue,
    faults,
    playbook,
    gameday,
    runbook,
)
_EPILOG = """\
exit codes:
  0  every selected case passed (or the command did what it says)
  1  not conformant, or not everything was shown
  2  the harness, the target's set-up or this command failed
  4  usage: an option, a file or a name is wrong
  5  nothing was shown
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code; a user's mistake never shows a traceback."""
    parser = argparse.ArgumentParser(
        prog="ragdrill",
        description="Proves that a RAG stack does what its day-two operations guide says.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ragdrill {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in _MODULES:
        module.add_parsers(subparsers)
    try:
        known, rest = parser.parse_known_args(arguments)
        if rest and not getattr(known, "passes_on", False):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
    except SystemExit as stop:
        # argparse leaves with 2, which here means a broken harness.
        return ExitCode.PASS if not stop.code else ExitCode.USAGE
    known.rest = rest
    try:
        return int(known.handler(known))
    except UsageError as error:
        print(f"ragdrill: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except HarnessError as error:
        print(f"ragdrill: {error}", file=sys.stderr)
        return ExitCode.HARNESS_ERROR
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PASS
    except KeyboardInterrupt:
        print("ragdrill: interrupted", file=sys.stderr)
        return ExitCode.HARNESS_ERROR


if __name__ == "__main__":
    sys.exit(main())
