"""Reset: a link breaks connections with a TCP RST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look


@dataclass(frozen=True)
class Reset(LinkFault):
    """Resets each connection ``after_ms`` after its first data."""

    after_ms: int = 0

    slug: ClassVar[str] = "reset"
    sentence: ClassVar[str] = "The link resets each connection after its first data."
    toxic: ClassVar[str] = "reset_peer"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "after_ms", self.after_ms, 0, 60_000, "ms")

    @property
    def attributes(self) -> dict[str, Any]:
        """Toxiproxy takes milliseconds."""
        return {"timeout": self.after_ms}

    @property
    def probe_timeout(self) -> float:
        """Long enough to see the reset."""
        return 1.5 + self.after_ms / 1000

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """Each probe is reset, on a link that answered before."""
        return all(each.outcome == "reset" for each in looks) and "answered" in before["outcomes"]
