"""Down: a link refuses connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look
from chaos.faults.toxics import ToxicControl
from harness.drivers.base import Stack


@dataclass(frozen=True)
class Down(LinkFault):
    """Closes the link's listener and its open connections."""

    slug: ClassVar[str] = "down"
    sentence: ClassVar[str] = "The link refuses connections, and open ones end."
    toxic: ClassVar[str] = ""

    def inject(self, stack: Stack) -> None:
        """Disable the proxy."""
        ToxicControl(stack).enable(self.link, False)

    def heal(self, stack: Stack) -> None:
        """Enable the proxy."""
        ToxicControl(stack).enable(self.link, True)

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """Each probe is refused, on a link that answered before."""
        return all(each.outcome == "refused" for each in looks) and "answered" in before["outcomes"]
