"""The stores that the tests of this directory share; each test fills them anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.scripts.leakage.leakage_world import LeakageWorld


@pytest.fixture(scope="session")
def leakage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeakageWorld]:
    with contextlib.closing(LeakageWorld(tmp_path_factory.mktemp("leakage"))) as world:
        yield world
