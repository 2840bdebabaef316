"""Command-line options, and whether this invocation of pytest is a conformance run at all."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.registry import PROFILES
from harness.core.run import CHECKOUT

CASE_TREES = ("suites", "chaos")
DEFAULT_TIME_SCALE = 60.0
DEFAULT_GAMEDAY_MINUTES = 1.5
SHARE_DAY = "RAGDRILL_SHARE_DAY"
"""The day that decides which share is run, as a number; today unless it is given."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a conformance run."""
    group = parser.getgroup("ragdrill", "conformance and chaos runs")
    group.addoption(
        "--profile",
        choices=PROFILES,
        default=None,
        help="which cases run: ci (default, minutes), full, drill, upgrade, safe",
    )
    group.addoption(
        "--case",
        action="append",
        default=[],
        metavar="AREA|SLUG|ID",
        help="run only these cases: an area (recovery), a requirement "
        "(recovery/round-trip) or one case id (recovery/round-trip::name); repeatable",
    )
    group.addoption("--driver", default=None, help="how the target is booted (default: embedded)")
    group.addoption(
        "--share",
        type=int,
        default=1,
        metavar="N",
        help="run one in N of the selected cases, each day others, and none that measures time; of "
        "own tests one in N files (default: all)",
    )
    group.addoption(
        "--images",
        choices=("official", "local"),
        default=None,
        help="containers: official images, pulled (default), or local ones from `make images`",
    )
    group.addoption(
        "--target", type=Path, default=None, metavar="FILE", help="a target file (TOML)"
    )
    group.addoption(
        "--seed", type=int, default=None, help="seeds everything random; printed with each run"
    )
    group.addoption(
        "--time-scale",
        type=float,
        default=DEFAULT_TIME_SCALE,
        metavar="X",
        help="divide the windows of alert rules by X in live scenarios (default: %(default)s)",
    )
    group.addoption(
        "--gameday-minutes",
        type=float,
        default=DEFAULT_GAMEDAY_MINUTES,
        metavar="M",
        help="how long the random faults of the game day go on (default: %(default)s)",
    )
    group.addoption(
        "--load-seconds",
        type=float,
        default=None,
        metavar="S",
        help="make the reference load one round of S seconds (default: what its objectives need)",
    )
    group.addoption(
        "--corpus",
        choices=("built", "sample"),
        default="built",
        help="documents and questions: what make setup built (default), or the committed sample",
    )
    group.addoption(
        "--run-dir",
        type=Path,
        default=None,
        metavar="DIR",
        help="where the run is kept (default: runs/<utc>-<profile>)",
    )
    group.addoption(
        "--accept-skips",
        action="store_true",
        help="exit 0 although cases were skipped; the verdict still says skip",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line("markers", "timing: measures time, so it runs alone")
    images = config.getoption("images")
    if images:
        # Read by the drivers of containers, in every process of the run.
        os.environ["RAGDRILL_IMAGES"] = images
    share = config.getoption("share")
    if share < 1:
        raise pytest.UsageError(
            str(UsageError("There is no such share.", expected="--share 1 or more", actual=share))
        )
    # Workers inherit it: at midnight they would otherwise not collect the same.
    day = os.environ.setdefault(SHARE_DAY, str(datetime.now(UTC).date().toordinal()))
    if not day.isdigit():
        raise pytest.UsageError(f"{SHARE_DAY} holds {day!r}, and the number of a day is expected")
    seconds = config.getoption("load_seconds")
    if seconds is not None and not 1 <= seconds <= 3600:
        problem = UsageError(
            "A round of load can't be that long, or that short.",
            expected="--load-seconds from 1 to 3600",
            actual=seconds,
        )
        raise pytest.UsageError(str(problem))
    scale = config.getoption("time_scale")
    if scale < 1:
        raise pytest.UsageError(
            str(
                UsageError(
                    "Alert windows can be shortened, not stretched.",
                    expected="--time-scale of 1 or more",
                    actual=scale,
                )
            )
        )


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def is_distributed(config: pytest.Config) -> bool:
    """Whether this process is the controller of pytest-xdist workers."""
    return not is_worker(config) and config.getoption("dist", "no") != "no"


def is_conformance_run(config: pytest.Config) -> bool:
    """Whether cases (not the harness's own tests) were asked for.

    That is so when a profile or case is named, when a path below ``suites`` or ``chaos`` is given,
    or when nothing is given and the configured test paths apply.
    """
    if config.getoption("collectonly"):
        return False
    if config.getoption("profile") or config.getoption("case"):
        return True
    for argument in config.args:
        path = (config.invocation_params.dir / argument.split("::")[0]).resolve()
        if any(path.is_relative_to(CHECKOUT / tree) for tree in CASE_TREES):
            return True
    return False
