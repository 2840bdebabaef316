"""Each seeded defect is caught by the case that claims to, for the reason it states."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from harness.core.locks import locked
from tests.defects.conftest import DAY, SHARE
from tests.defects.defect import (
    CHECKOUT,
    Defect,
    caught,
    load_catalogue,
    part_of_the_day,
    run_with,
)

ALL = load_catalogue()
DEFECTS = part_of_the_day(ALL, int(os.environ[SHARE]), int(os.environ[DAY]))
TIMEOUT_S = 400.0
TIMED = ("slo/", "playbook/")


@pytest.fixture(scope="session")
def matrix() -> Path:
    """The directory that keeps what each defect's run gave, one JSON object a defect."""
    directory = CHECKOUT / "runs" / os.environ["RAGDRILL_DEFECTS_RUN"] / "defects"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.mark.parametrize("share", [1, 2, 3, 7])
def test_every_defect_has_its_day(share: int) -> None:
    days = [part_of_the_day(ALL, share, 740_000 + day) for day in range(share)]
    assert sorted(d.name for day in days for d in day) == sorted(d.name for d in ALL)


@pytest.mark.timeout(4 * TIMEOUT_S)
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_the_named_case_catches(defect: Defect, tmp_path: Path, matrix: Path) -> None:
    began = time.monotonic()
    lock = matrix.parent / "machine.lock"
    with locked(lock, exclusive=False):
        outcome = run_with(defect, [defect.catches], tmp_path / "defect", TIMEOUT_S)
    problem = caught(defect, outcome)
    if problem and defect.catches.startswith(TIMED):
        # What is measured by the clock may have been disturbed by the other worker's stack, which
        # shows as inconclusive or void. Alone on the machine there is no such excuse.
        with locked(lock, exclusive=True):
            outcome = run_with(defect, [defect.catches], tmp_path / "alone", TIMEOUT_S)
        problem = caught(defect, outcome)
    record = {
        "defect": defect.name,
        "sentence": defect.sentence,
        "module": defect.module,
        "catches": defect.catches,
        "claimed": defect.verdict,
        "verdict": outcome.verdict,
        "message": outcome.message,
        "problem": problem,
        "seconds": round(time.monotonic() - began, 1),
    }
    (matrix / f"{defect.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    assert not problem, f"{defect.sentence}\n{problem}\n\n{outcome.output[-6000:]}"
