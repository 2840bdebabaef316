"""Common ground of the faults that are one toxic on one link."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Fault, Proof
from chaos.faults.probe import Look, look, look_through, median_seconds
from chaos.faults.toxics import ToxicControl, link_of
from harness.core.errors import UsageError
from harness.drivers.base import Stack

_PROBES = 3


@dataclass(frozen=True)
class LinkFault(Fault):
    """A toxic on ``link``; subclasses say which one and what its effect looks like."""

    link: str

    toxic: ClassVar[str]
    stream: ClassVar[str] = "downstream"

    def __post_init__(self) -> None:
        if not self.link or "-" not in self.link:
            raise UsageError(
                f"The fault {self.slug!r} hits a link.",
                expected="a link's name, for instance gateway-embed",
                actual=repr(self.link),
            )

    @property
    def on(self) -> str:
        """The link."""
        return self.link

    @property
    def attributes(self) -> dict[str, Any]:
        """The toxic's attributes, in Toxiproxy's units."""
        return {}

    @abstractmethod
    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """Whether these probes through the link show the effect."""

    @property
    def probe_timeout(self) -> float:
        """Seconds that a probe waits; faults that slow a link down need more."""
        return 1.5

    def before(self, stack: Stack) -> dict[str, Any]:
        """Time the link while all is well."""
        looks = self._looks(stack)
        return {
            "seconds": median_seconds(looks),
            "outcomes": [each.outcome for each in looks],
            "received": max(each.received for each in looks),
        }

    def inject(self, stack: Stack) -> None:
        """Add the toxic."""
        ToxicControl(stack).add(self.link, self._name, self.toxic, self.stream, self.attributes)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Probe through the link, and past it: the effect must be on the link alone."""
        looks = self._looks(stack)
        link = link_of(stack, self.link)
        host, _, port = link.upstream.rpartition(":")
        past = look(host, int(port), link.target)
        return Proof(
            ok=self.shows(looks, before) and past.outcome == "answered",
            seen={
                "through_link": [[each.outcome, round(each.seconds, 4)] for each in looks],
                "past_link": [past.outcome, round(past.seconds, 4)],
                "before": before,
            },
        )

    def heal(self, stack: Stack) -> None:
        """Remove the toxic."""
        ToxicControl(stack).remove(self.link, self._name)

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Probe again: answered, and without the effect."""
        looks = self._looks(stack)
        answered = all(each.outcome == "answered" for each in looks)
        return Proof(
            ok=answered and not self.shows(looks, before),
            seen={"through_link": [[each.outcome, round(each.seconds, 4)] for each in looks]},
        )

    @property
    def _name(self) -> str:
        return f"ragdrill-{self.slug}"

    def _looks(self, stack: Stack) -> list[Look]:
        link = link_of(stack, self.link)
        return [look_through(link, timeout=self.probe_timeout) for _ in range(_PROBES)]
