"""Fixtures of the pager's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pager_lab import Pager


def _running(file: Path) -> Iterator[Pager]:
    pager = Pager(file)
    pager.start()
    try:
        yield pager
    finally:
        assert pager.process is not None
        if pager.process.poll() is None:
            pager.end()


@pytest.fixture(scope="session")
def pager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pager]:
    """One pager for the tests that leave it running."""
    yield from _running(tmp_path_factory.mktemp("pager") / "deliveries.jsonl")


@pytest.fixture
def own_pager(tmp_path: Path) -> Iterator[Pager]:
    """A pager to kill."""
    yield from _running(tmp_path / "deliveries.jsonl")
