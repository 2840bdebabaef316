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

    def before(self, stack: Stack) -> dict[str, Any]:
        """Time the link while all is well; and whether an engine relays what comes to it."""
        return super().before(stack) | {"relayed": getattr(stack, "relayed", False)}

    def inject(self, stack: Stack) -> None:
        """Disable the proxy."""
        ToxicControl(stack).enable(self.link, False)

    def heal(self, stack: Stack) -> None:
        """Enable the proxy."""
        ToxicControl(stack).enable(self.link, True)

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """Each probe is refused, on a link that answered before.

        A container engine takes connections to published ports itself and drops them once it finds
        nobody inside who would: there nothing comes back, and at once.
        """
        ended = ("refused", "reset", "closed") if before.get("relayed") else ("refused",)
        return (
            all(each.outcome in ended and not each.received for each in looks)
            and "answered" in before["outcomes"]
        )
