"""A whole reference stack for the tests of faults that need real processes and stores."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from harness.drivers.embedded.stack import EmbeddedStack


@pytest.fixture(scope="session")
def fault_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Booted once for all of them; each test leaves it as it found it."""
    place = tmp_path_factory.mktemp("faults")
    stack = EmbeddedStack.boot(f"faults-{secrets.token_hex(4)}", place / "scratch", place / "logs")
    yield stack
    stack.down()
