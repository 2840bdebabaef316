"""Whether a GPU did the work: readings before and while it was asked for, and a process, to a
verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.checks.result import CheckResult
from harness.core.verdicts import Verdict

LEAST_UTILIZATION = 10.0
"""Percent, in some reading: NVML's figure is a share of the last sampling period (up to a second,
NVML API reference, nvmlUtilization_t), so short kernels of one text each stay far below 100."""
LEAST_GROWTH_MIB = 64.0
"""A CUDA context with a model in it takes hundreds; a display or an idle daemon takes less."""


@dataclass(frozen=True)
class GpuReading:
    """One device at one moment: percent, MiB, and the processes that compute on it."""

    uuid: str
    utilization: float
    used_mib: float
    pids: frozenset[int] = frozenset()


def worked_on_device(
    idle: Sequence[GpuReading], busy: Iterable[GpuReading], pids: Iterable[int]
) -> CheckResult:
    """Judge whether processes ``pids`` computed on a device while ``busy`` was read.

    The device must have been at work, and the work must have been theirs: NVML lists one of them,
    or, where it can't name processes (another PID namespace), the device's memory has grown since
    ``idle``, which was read before they started. A device that was busy all along, with nobody
    named, shows nothing.
    """
    own, rows = frozenset(pids), list(busy)
    before = {each.uuid: each for each in idle}
    used: list[str] = []
    unclear: list[str] = []
    for uuid in sorted({each.uuid for each in rows}):
        mine = [each for each in rows if each.uuid == uuid]
        if max(each.utilization for each in mine) < LEAST_UTILIZATION:
            continue
        named = frozenset().union(*(each.pids for each in mine))
        base = before.get(uuid)
        grown = base is not None and (
            max(each.used_mib for each in mine) - base.used_mib >= LEAST_GROWTH_MIB
        )
        quiet = base is not None and base.utilization < LEAST_UTILIZATION
        if named & own or (not named and grown and quiet):
            used.append(uuid)
        elif not named:
            unclear.append(uuid)
    verdict = Verdict.PASS if used else Verdict.INCONCLUSIVE if unclear else Verdict.FAIL
    most = max((each.utilization for each in rows), default=0.0)
    return CheckResult(
        verdict=verdict,
        what="the processes worked on the device",
        expected=f"{LEAST_UTILIZATION:g} % in some reading, by one of {sorted(own) or 'them'}",
        actual=f"{most:g} % at most, by {sorted(frozenset().union(*(r.pids for r in rows)))}",
        details={"used": used, "unclear": unclear, "readings": len(rows)},
    )
