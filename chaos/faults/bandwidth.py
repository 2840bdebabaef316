"""Bandwidth: a link passes only so many bytes a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look, median_seconds

_MOST_ASKS = 500


@dataclass(frozen=True)
class Bandwidth(LinkFault):
    """Limits what flows back over the link to ``rate_kb_s`` units of 1000 bytes a second, per
    connection. The proof needs answers that take at least 50 ms at this rate: an HTTP target is
    asked up to 500 times on one connection, PostgreSQL answers with some hundred bytes once."""

    rate_kb_s: int

    slug: ClassVar[str] = "bandwidth"
    sentence: ClassVar[str] = "The link passes only so many bytes a second in each connection."
    toxic: ClassVar[str] = "bandwidth"
    to_the_end: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "rate_kb_s", self.rate_kb_s, 1, 10_000_000, "kB/s")

    @property
    def attributes(self) -> dict[str, Any]:
        """Toxiproxy takes units of 1000 bytes a second."""
        return {"rate": self.rate_kb_s}

    def asks(self, answer_bytes: int) -> int:
        """As many as take a fifth of a second."""
        wanted = 0.2 * self.rate_kb_s * 1000
        return min(math.ceil(wanted / max(answer_bytes, 1)), _MOST_ASKS)

    @property
    def probe_timeout(self) -> float:
        """Long enough for a few kilobytes at the limited rate."""
        return 1.5 + 20 / self.rate_kb_s

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """The same bytes take at least half the time that the rate implies, and longer by that."""
        now, then = median_seconds(looks), before["seconds"]
        if now is None or then is None or not before["received"]:
            return False
        implied = before["received"] / (self.rate_kb_s * 1000)
        return bool(now - then >= 0.5 * implied and implied >= 0.05)
