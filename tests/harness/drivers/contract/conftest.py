"""One stack of each driver for the contract tests, and a user of it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from contract_asker import Asker, eventually
from contract_labs import LABS, AttachLab, Lab, new_run_id

from harness.drivers.base import Stack


@dataclass(frozen=True)
class Subject:
    """A booted stack of a driver, and a user who left a document in it."""

    lab: Lab
    place: Path
    stack: Stack
    asker: Asker


def available(name: str) -> Lab:
    """The lab of a driver; skips where the driver can't run on this machine."""
    lab = LABS[name]()
    why = lab.unavailable()
    if why:
        pytest.skip(f"driver {name}: {why}")
    return lab


@pytest.fixture(scope="module", params=LABS)
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    """A stack of the driver, booted once; each test leaves it as it found it."""
    lab = available(request.param)
    place, run_id = tmp_path_factory.mktemp(request.param), new_run_id()
    stack = lab.boot(run_id, place)
    try:
        yield Subject(lab, place, stack, Asker(stack, f"tenant-{secrets.token_hex(4)}"))
    finally:
        stack.down()
        if isinstance(lab, AttachLab):
            lab.end(run_id)
    assert eventually(lambda: not lab.left(run_id, place)), lab.left(run_id, place)


@pytest.fixture(params=[name for name, lab in LABS.items() if lab.boots])
def lab(request: pytest.FixtureRequest) -> Lab:
    """A driver that starts what it is attached to, with no stack yet."""
    return available(request.param)
