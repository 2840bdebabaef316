"""A page of docs/ that is generated: written, or compared with what it would be now."""

from __future__ import annotations

from pathlib import Path

from harness.core.run import CHECKOUT
from harness.core.verdicts import ExitCode


def write(page: Path, text: str, told: str) -> int:
    """Write the page and say what is on it, such as ``12 playbooks``; returns the exit code."""
    page.parent.mkdir(exist_ok=True)
    page.write_text(text)
    print(f"{_shown(page)}: {told}")
    return ExitCode.PASS


def check(page: Path, text: str, told: str, next_step: str) -> int:
    """Compare the page with ``text``; 1, and what to do next, where they differ."""
    if page.exists() and page.read_text() == text:
        print(f"{_shown(page)} is up to date: {told}")
        return ExitCode.PASS
    print(f"{_shown(page)} is not what would be generated now. Next: {next_step}")
    return ExitCode.NOT_CONFORMANT


def cell(text: str) -> str:
    """Return a text as it stands in a cell of a table."""
    return text.replace("|", "\\|")


def _shown(page: Path) -> Path:
    return page.relative_to(CHECKOUT) if page.is_relative_to(CHECKOUT) else page
