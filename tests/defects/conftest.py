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


def pytest_configure(config: pytest.Config) -> None:
    """Name the run in the process that starts the workers: they inherit its environment."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    os.environ.setdefault(NAME, f"{stamp}-defects")


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """Render the matrix and say where it lies."""
    directory = CHECKOUT / "runs" / os.environ[NAME]
    if (directory / defects.RECORDS).exists():
        page: Path = defects.render(directory)
        terminalreporter.write_line(defects.load(directory).headline)
        terminalreporter.write_line(f"Matrix: {page.relative_to(CHECKOUT)}")
    return (yield)
