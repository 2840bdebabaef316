"""Fixtures of the pager's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pager_lab import Pager


@pytest.fixture
def pager(tmp_path: Path) -> Iterator[Pager]:
    pager = Pager(tmp_path / "deliveries.jsonl")
    pager.start()
    try:
        yield pager
    finally:
        assert pager.process is not None
        if pager.process.poll() is None:
            pager.end()
