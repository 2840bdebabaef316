"""Bandwidth: a link passes only so many bytes a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.postgres_probe import stream_through
from chaos.faults.probe import Look, median_seconds
from chaos.faults.toxics import link_of
from harness.drivers.base import Stack

_MOST_ASKS = 500
_MOST_BYTES = 16_000_000


@dataclass(frozen=True)
class Bandwidth(LinkFault):
    """Limits what flows back over the link to ``rate_kb_s`` units of 1000 bytes a second, per
    connection. The proof needs answers that take at least 50 ms at this rate: an HTTP target is
    asked up to 500 times on one connection, PostgreSQL for a result of the right size."""

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
        return min(math.ceil(self._wanted_bytes / max(answer_bytes, 1)), _MOST_ASKS)

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

    @property
    def _wanted_bytes(self) -> int:
        return min(math.ceil(0.2 * self.rate_kb_s * 1000), _MOST_BYTES)

    def _looks(self, stack: Stack, asks: int = 1) -> list[Look]:
        link = link_of(stack, self.link)
        dsn = stack.credentials(link.target).get("admin_dsn") if link.target == "metadata" else None
        if dsn is None:
            return super()._looks(stack, asks)
        # The log-in, some kilobytes at most, passes the limited link too.
        timeout = 10 + 4 / self.rate_kb_s
        return [stream_through(link, dsn, self._wanted_bytes, timeout) for _ in range(3)]
