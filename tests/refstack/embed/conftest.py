"""Fixtures of the embedding worker's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from embed_lab import Worker, start, stop


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = start(tmp_path_factory.mktemp("embed") / "log")
    try:
        yield worker
    finally:
        stop(worker)
