"""Black hole: a link accepts connections and never lets an answer through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look


@dataclass(frozen=True)
class BlackHole(LinkFault):
    """Drops all that flows back over the link and never closes it (toxic timeout, 0 ms)."""

    slug: ClassVar[str] = "black-hole"
    sentence: ClassVar[str] = "The link takes connections and never lets an answer through."
    toxic: ClassVar[str] = "timeout"

    @property
    def attributes(self) -> dict[str, Any]:
        """0 never closes."""
        return {"timeout": 0}

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """No probe gets a byte, on a link that answered before.

        An upstream that ends its connection after answering is seen to close: the end passes, the
        answer does not (Toxiproxy's timeout toxic drops data, not the end of it).
        """
        nothing = all(each.outcome in ("silent", "closed") for each in looks)
        return nothing and "answered" in before["outcomes"]
