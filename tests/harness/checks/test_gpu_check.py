"""A device counts as used only when it worked and the work was the worker's."""

from __future__ import annotations

import pytest

from harness.checks.gpu import GpuReading, worked_on_device

WORKER, OTHER = 41, 99


def reading(utilization: float, used_mib: float = 10.0, *pids: int, uuid: str = "a") -> GpuReading:
    return GpuReading(uuid, utilization, used_mib, frozenset(pids))


QUIET = [reading(0.0)]


@pytest.mark.parametrize(
    ("idle", "busy", "verdict"),
    [
        (QUIET, [reading(0, 10), reading(60, 500, WORKER)], "pass"),
        ([], [reading(60, 500, WORKER)], "pass"),
        # Said to be on CUDA, and computed on the CPU.
        (QUIET, [reading(0, 500, WORKER)], "fail"),
        (QUIET, [], "fail"),
        # Somebody else's work.
        (QUIET, [reading(90, 9000, OTHER)], "fail"),
        # The driver names nobody: what it did before decides.
        (QUIET, [reading(60, 500)], "pass"),
        (QUIET, [reading(60, 11)], "inconclusive"),
        ([reading(80, 10)], [reading(90, 500)], "inconclusive"),
        ([], [reading(90, 500)], "inconclusive"),
        # One of two devices is enough.
        (QUIET, [reading(0), reading(50, 600, WORKER, uuid="b")], "pass"),
    ],
)
def test_work_and_its_owner_are_both_asked_for(
    idle: list[GpuReading], busy: list[GpuReading], verdict: str
) -> None:
    assert worked_on_device(idle, busy, [WORKER]).verdict.value == verdict
