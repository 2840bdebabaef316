"""Slow close: a link passes on the end of a connection only after a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look, median_seconds


@dataclass(frozen=True)
class SlowClose(LinkFault):
    """The end of a connection arrives ``delay_ms`` after the target closed it; data is on time."""

    delay_ms: int

    slug: ClassVar[str] = "slow-close"
    sentence: ClassVar[str] = "Connections that the target closes stay open for a while longer."
    toxic: ClassVar[str] = "slow_close"
    to_the_end: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "delay_ms", self.delay_ms, 20, 60_000, "ms")

    @property
    def attributes(self) -> dict[str, Any]:
        """Toxiproxy takes milliseconds."""
        return {"delay": self.delay_ms}

    @property
    def probe_timeout(self) -> float:
        """Long enough to see the late end."""
        return 1.5 + 2 * self.delay_ms / 1000

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """The same answer comes, and its connection ends later by 0.8 × the delay at least."""
        now, then = median_seconds(looks), before["seconds"]
        if now is None or then is None:
            return False
        whole = all(each.ended and each.received >= before["received"] / 2 for each in looks)
        return bool(whole and now - then >= 0.8 * self.delay_ms / 1000)
