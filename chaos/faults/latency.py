"""Latency: every answer over a link comes later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look, median_seconds


@dataclass(frozen=True)
class Latency(LinkFault):
    """Delays what flows back over the link by ``latency_ms`` ± ``jitter_ms`` (one way)."""

    latency_ms: int
    jitter_ms: int = 0

    slug: ClassVar[str] = "latency"
    sentence: ClassVar[str] = "Every answer over the link comes later, by a fixed time and jitter."
    toxic: ClassVar[str] = "latency"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "latency_ms", self.latency_ms, 1, 60_000, "ms")
        in_range(self.slug, "jitter_ms", self.jitter_ms, 0, self.latency_ms, "ms")

    @property
    def attributes(self) -> dict[str, Any]:
        """Toxiproxy takes milliseconds."""
        return {"latency": self.latency_ms, "jitter": self.jitter_ms}

    @property
    def probe_timeout(self) -> float:
        """Long enough to see an answer that is late but comes."""
        return 1.5 + 2 * (self.latency_ms + self.jitter_ms) / 1000

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """The median probe takes at least 0.8 × the smallest delay longer than before."""
        now, then = median_seconds(looks), before["seconds"]
        if now is None or then is None:
            return False
        # Half of the delay when there is no floor left under full jitter.
        least = max(self.latency_ms - self.jitter_ms, self.latency_ms / 2) / 1000
        return bool(now - then >= 0.8 * least)
