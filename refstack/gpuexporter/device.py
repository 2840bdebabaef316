"""What is known of one GPU at one moment, whoever told it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MIB = 1 << 20


@dataclass(frozen=True)
class Reading:
    """One device. Utilisation in percent, memory in MiB, temperature in °C, clocks in MHz, power
    in watts; `throttle` is NVML's bit mask of clock event reasons, `xid` the last error (0: none).
    """

    index: int
    uuid: str
    model: str
    utilization: float
    copy_utilization: float
    used_mib: float
    free_mib: float
    temperature: float
    sm_clock: float
    power: float
    throttle: int
    xid: int


@dataclass(frozen=True)
class Lost:
    """A device that is there no more, but whose last error still is."""

    index: int
    uuid: str
    model: str
    xid: int


class Source(Protocol):
    """Where readings come from."""

    stand_in: bool
    """Whether there is no such device and the figures are made up."""
    software: str

    def read(self) -> list[Reading | Lost]:
        """All devices now. Raises SourceError when nothing can be told."""
        ...


class SourceError(Exception):
    """The devices cannot be read; the text says why."""
