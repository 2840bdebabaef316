"""GPU device lost: the device has fallen off the bus, and what ran on it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.gpu import GpuFault
from chaos.faults.http_status import HttpStatus
from chaos.faults.link_fault import LinkFault

XID_OFF_THE_BUS = 79
"""NVIDIA, "Xid Errors": the GPU has fallen off the bus."""


@dataclass(frozen=True)
class GpuDeviceLost(GpuFault):
    """A stand-in: the exporter shows XID 79 and no figures of the device, and every answer of the
    embedding and rerank workers is the error 500 that a process without its device gives."""

    slug: ClassVar[str] = "gpu-device-lost"
    sentence: ClassVar[str] = "The GPU is gone from the bus, and both workers fail (a stand-in)."
    device: ClassVar[dict[str, Any]] = {"lost": True}

    def part(self, link: str) -> LinkFault:
        """Every request fails."""
        return HttpStatus(link, status=500)

    def staged(self, now: dict[str, float], before: dict[str, float]) -> bool:
        """The error is told, the device no longer counted, and nothing else known of it."""
        return (
            before.get("devices") == 1
            and now.get("devices") == 0
            and now.get("lost") == 1
            and now.get("xid") == XID_OFF_THE_BUS
            and "utilization" not in now
        )
