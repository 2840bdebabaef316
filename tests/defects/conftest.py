"""One run directory for all workers of a defect run, and its page at the end."""

from __future__ import annotations

import os
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reports import defects
from tests.defects.defect import CHECKOUT

NAME = "RAGDRILL_DEFECTS_RUN"
SHARE = "RAGDRILL_DEFECTS_SHARE"
"""One in how many defects is tried; each day another one, and 1 is all of them."""

DAY = "RAGDRILL_DEFECTS_DAY"
"""The day that decides which, as a number; today unless it is given."""


def pytest_configure(config: pytest.Config) -> None:
    """Name the run in the process that starts the workers: they inherit its environment."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    os.environ.setdefault(NAME, f"{stamp}-defects")
    os.environ.setdefault(DAY, str(datetime.now(UTC).date().toordinal()))
    for name in (SHARE, DAY):
        given = os.environ.setdefault(name, "1")
        if not given.isdigit() or int(given) < 1:
            raise pytest.UsageError(
                f"{name} holds {given!r}, and a whole number from 1 is expected"
            )


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """Render the matrix and say where it lies."""
    directory = CHECKOUT / "runs" / os.environ[NAME]
    if (directory / defects.RECORDS).exists():
        page: Path = defects.render(directory)
        terminalreporter.write_line(defects.load(directory).headline)
        if os.environ[SHARE] != "1":
            terminalreporter.write_line(
                f"These were one in {os.environ[SHARE]}, of day {os.environ[DAY]}; "
                "`make defects` tries all."
            )
        terminalreporter.write_line(f"Matrix: {page.relative_to(CHECKOUT)}")
    return (yield)
