"""``ragdrill drill``: the disaster-recovery drill, a run of profile ``drill``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.run import CHECKOUT

CASE = "recovery/rto::disaster_recovery_drill"

_DESCRIPTION = """\
Takes a backup of a staging target (or finds the one you name), destroys both stores, restores them
by scripts/restore_dr.sh, compares everything, measures recovery point and recovery time, and writes
drill.html and drill.md into the run's directory, whatever the outcome.

  ragdrill drill                                 on the reference stack, booted for it
  ragdrill drill --target staging.toml           on a target that allows "destroy"
  ragdrill drill --target staging.toml --bucket rag-backups --date 2026-11-22
  ragdrill drill --target staging.toml --resume runs/20261122T080000Z-drill

DRILL_BUCKET, DRILL_DATE and DRILL_OPERATOR are read from the environment where an option is not
given. Without a date the recovery point is measured by a heartbeat writer of the drill's own; a
backup from before the drill holds none of its heartbeats, so then it is not shown.
"""


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "drill",
        help="destroy a staging target, restore it, measure, and write the evidence to sign",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", type=Path, metavar="FILE", help="a target file (TOML)")
    parser.add_argument("--bucket", metavar="NAME", help="the bucket of an existing backup")
    parser.add_argument("--date", metavar="DAY", help="the day of an existing backup (yyyy-mm-dd)")
    parser.add_argument("--operator", metavar="WHO", help="who runs the drill (default: the user)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="a drill that was interrupted")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="where the run is kept")
    parser.set_defaults(handler=drill, passes_on=True)


def drill(options: argparse.Namespace) -> int:
    """Check what was asked for, then become the run; never returns.

    Raises:
        UsageError: a day that is none, or a drill to resume that is not there.
    """
    environment = environment_of(options, dict(os.environ))
    arguments = arguments_of(options, environment)
    os.chdir(CHECKOUT)
    sys.stdout.flush()
    command = [sys.executable, "-m", "pytest", *arguments]
    os.execve(sys.executable, command, environment)


def arguments_of(options: argparse.Namespace, environment: Mapping[str, str]) -> list[str]:
    """Return the arguments of the run."""
    arguments = ["--profile=drill", "--verbosity=1", *options.rest]
    if environment.get("DRILL_RESUME"):
        # Its stores may be wiped: whatever else belongs to the profile would find nothing there.
        arguments.append(f"--case={CASE}")
    if options.target is not None:
        arguments.append(f"--target={options.target.resolve()}")
    if options.run_dir is not None:
        arguments.append(f"--run-dir={options.run_dir.resolve()}")
    return arguments


def environment_of(options: argparse.Namespace, inherited: dict[str, str]) -> dict[str, str]:
    """Return the environment of the run; options go before what the environment says.

    Raises:
        UsageError: see :func:`drill`.
    """
    environment = dict(inherited)
    for name, value in (
        ("DRILL_BUCKET", options.bucket),
        ("DRILL_DATE", options.date),
        ("DRILL_OPERATOR", options.operator),
        ("DRILL_RESUME", str(options.resume.resolve()) if options.resume else None),
    ):
        if value is not None:
            environment[name] = value
    day = environment.get("DRILL_DATE", "")
    if day and not _is_day(day):
        raise UsageError(
            "DRILL_DATE (or --date) names the day of an existing backup.",
            expected="yyyy-mm-dd, for instance 2026-11-22",
            actual=day,
            next_step="leave it away to have the drill take a backup of its own",
        )
    resume = environment.get("DRILL_RESUME", "")
    if resume and day:
        raise UsageError(
            "A resumed drill goes on with the backup that it had.",
            expected="a day, or a drill to resume",
            actual=f"{day} and {resume}",
        )
    if resume and not (Path(resume) / "drill.json").is_file():
        raise UsageError(
            "There is no interrupted drill to resume.",
            expected="a run directory with drill.json",
            actual=resume,
            next_step="ls -d runs/*-drill shows the drills of this checkout",
        )
    return environment


def _is_day(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
