"""GPU throttled: the device is too hot, runs at a fraction of its clock, and answers come late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.gpu import GpuFault
from chaos.faults.latency import Latency
from chaos.faults.link_fault import LinkFault

THERMAL = 0x40
"""NVML's bit for a clock that the hardware lowers because of heat."""


@dataclass(frozen=True)
class GpuThrottled(GpuFault):
    """A stand-in: the exporter shows heat, a full load and a lower clock for that reason, and every
    answer of the embedding and rerank workers comes ``slower_ms`` later."""

    slower_ms: int = 300

    slug: ClassVar[str] = "gpu-throttled"
    sentence: ClassVar[str] = "The GPU slows down from heat, and both workers with it (a stand-in)."
    device: ClassVar[dict[str, Any]] = {"throttled": True}

    def __post_init__(self) -> None:
        in_range(self.slug, "slower_ms", self.slower_ms, 20, 60_000, "ms")

    def part(self, link: str) -> LinkFault:
        """Every answer comes later."""
        return Latency(link, latency_ms=self.slower_ms)

    def staged(self, now: dict[str, float], before: dict[str, float]) -> bool:
        """Hotter, fully busy, and slowed down for the heat."""
        hotter = now.get("temperature", 0) > before.get("temperature", 0)
        busy = now.get("utilization", 0) > 90
        held_back = int(now.get("throttle", 0)) & THERMAL and not (
            int(before.get("throttle", 0)) & THERMAL
        )
        return bool(hotter and busy and held_back)
