"""Slicer: a link passes answers in small packets, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look, median_seconds


@dataclass(frozen=True)
class Slicer(LinkFault):
    """Cuts what flows back into packets of ``size_bytes`` ± ``variation_bytes``, with
    ``delay_us`` after each. The proof needs an answer of four packets or more."""

    size_bytes: int
    variation_bytes: int = 0
    delay_us: int = 10_000

    slug: ClassVar[str] = "slicer"
    sentence: ClassVar[str] = "Answers come in small packets with a pause after each."
    toxic: ClassVar[str] = "slicer"
    to_the_end: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "size_bytes", self.size_bytes, 1, 32_768, "bytes")
        most = self.size_bytes - 1
        in_range(self.slug, "variation_bytes", self.variation_bytes, 0, most, "bytes")
        # Packets without a pause between them reach the reader in one piece.
        in_range(self.slug, "delay_us", self.delay_us, 5_000, 10_000_000, "µs")

    @property
    def attributes(self) -> dict[str, Any]:
        """Toxiproxy takes bytes and microseconds."""
        return {
            "average_size": self.size_bytes,
            "size_variation": self.variation_bytes,
            "delay": self.delay_us,
        }

    @property
    def probe_timeout(self) -> float:
        """Long enough for an answer of some hundred bytes."""
        return 3 + 200 * self.delay_us / 1e6

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """What is read comes in three pieces or more, and takes half of the pauses at least."""
        now, then = median_seconds(looks), before["seconds"]
        if now is None or then is None:
            return False
        received = min(each.received for each in looks)
        pauses = received // (self.size_bytes + self.variation_bytes) - 1
        pieces = all(each.pieces >= max(3, before["pieces"] + 1) for each in looks)
        return bool(pieces and pauses >= 3 and now - then >= 0.5 * pauses * self.delay_us / 1e6)
