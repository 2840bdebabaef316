"""``ragdrill gameday``: random faults under load for a while, which is pytest with one case."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from chaos.faults.schedule import FIRST_S, LAST_S, LASTS_S, draw
from harness.core.errors import UsageError
from harness.core.run import CHECKOUT
from harness.core.verdicts import ExitCode

CASE = "durability/acknowledged::a_game_day_loses_nothing_and_leaks_nothing"
LEAST_MINUTES = (FIRST_S + LASTS_S[0] + LAST_S) / 60
MOST_MINUTES = 8 * 60

_DESCRIPTION = """\
Boots the target, puts load on it, breaks it at random for so many minutes, checks all the time
that nothing acknowledged is lost and nothing foreign is seen, walks the playbook of each alert that
fires, and writes the report. The same seed plays the same schedule. A schedule that breaks a
promise is tried again with fewer faults, down to the fewest that still break it.
"""


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "gameday",
        help="break the target at random under load, and watch what it promised",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="(default: 30)")
    parser.add_argument("--seed", type=int, help="draws the schedule (default: a new one)")
    parser.add_argument("--target", type=Path, metavar="FILE", help="a target file (TOML)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="where the run is kept")
    parser.add_argument(
        "--plan",
        action="store_true",
        help="only print the schedule, as a target with every link and role would get it",
    )
    parser.set_defaults(handler=gameday)


def gameday(options: argparse.Namespace) -> int:
    """Print the schedule, or become pytest with this one case.

    Raises:
        UsageError: so many minutes can't be played.
    """
    if not LEAST_MINUTES <= options.minutes <= MOST_MINUTES:
        raise UsageError(
            "A game day can't be that long, or that short.",
            expected=f"--minutes from {LEAST_MINUTES:.1f} to {MOST_MINUTES}",
            actual=options.minutes,
        )
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    if options.plan:
        for each in draw(seed, 60 * options.minutes):
            print(each)
        return ExitCode.PASS
    arguments = [
        "--profile=full",
        f"--case={CASE}",
        f"--seed={seed}",
        f"--gameday-minutes={options.minutes:g}",
    ]
    if options.target is not None:
        arguments.append(f"--target={options.target.resolve()}")
    if options.run_dir is not None:
        arguments.append(f"--run-dir={options.run_dir.resolve()}")
    os.chdir(CHECKOUT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments, "--verbosity=1"])
