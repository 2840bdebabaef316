"""``ragdrill verify``: a conformance run, which is pytest with a profile."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from harness.core.registry import PROFILES
from harness.core.run import CHECKOUT

_DESCRIPTION = """\
Boots the target, runs the cases of a profile against it, writes runs/<utc>-<profile>/ and prints
the verdict. Every option that is not listed here goes to pytest, for instance:

  ragdrill verify --case recovery           one area
  ragdrill verify --case isolation/query    one requirement
  ragdrill verify -n 2                      cases in parallel (timing cases still run alone)
  ragdrill verify -x                        stop at the first case that does not pass
"""


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "verify",
        help="run the cases of a profile and write the report",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=PROFILES, default="ci")
    parser.add_argument("--target", type=Path, metavar="FILE", help="a target file (TOML)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="where the run is kept")
    parser.set_defaults(handler=verify, passes_on=True)


def verify(options: argparse.Namespace) -> int:
    """Become pytest, run from the checkout wherever the command was called; never returns.

    In this process the plugin's modules are imported already, which pytest would warn about.
    """
    arguments = [f"--profile={options.profile}"]
    if options.target is not None:
        arguments.append(f"--target={options.target.resolve()}")
    if options.run_dir is not None:
        arguments.append(f"--run-dir={options.run_dir.resolve()}")
    os.chdir(CHECKOUT)
    sys.stdout.flush()
    command = [sys.executable, "-m", "pytest", *arguments, "--verbosity=1", *options.rest]
    os.execv(sys.executable, command)
