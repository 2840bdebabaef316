"""Common ground of the faults that are one toxic on one link."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Fault, Proof
from chaos.faults.probe import Look, look, look_through, median_seconds
from chaos.faults.toxics import ToxicControl, link_of
from harness.core.errors import NotAllowed, UsageError
from harness.drivers.base import Links, Stack

_PROBES = 3


@dataclass(frozen=True)
class LinkFault(Fault):
    """A toxic on ``link``; subclasses say which one and what its effect looks like."""

    link: str

    toxic: ClassVar[str]
    stream: ClassVar[str] = "downstream"
    where: ClassVar[str] = "any link"
    to_the_end: ClassVar[bool] = False
    """Whether the proof needs the connection's end, or more than PostgreSQL's one byte."""

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

    def check_target(self, stack: Stack) -> None:
        """Refuse a target without the permission, without a fault proxy, or without this link."""
        super().check_target(stack)
        if not isinstance(stack, Links):
            raise NotAllowed(
                f"The fault {self.slug!r} needs a fault proxy on the target's links.",
                expected="a driver with links (embedded, containers or compose)",
                actual=stack.name,
            )
        known = sorted(link.name for link in stack.links())
        if self.link not in known:
            raise NotAllowed(
                f"The target {stack.name!r} has no link {self.link}.",
                expected=", ".join(known),
                actual=self.link,
                next_step="a Compose project: give the service the other's address by a variable "
                "of its environment (docs/compose.md)",
            )

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

    def asks(self, answer_bytes: int) -> int:
        """How many answers of this size one probe needs to show the effect."""
        return 1

    def before(self, stack: Stack) -> dict[str, Any]:
        """Time the link while all is well."""
        looks = self._looks(stack)
        asks = self.asks(max(each.received for each in looks))
        if asks > 1 and link_of(stack, self.link).target != "metadata":
            looks = self._looks(stack, asks)
        return {
            "asks": asks,
            "seconds": median_seconds(looks),
            "outcomes": [each.outcome for each in looks],
            "received": max(each.received for each in looks),
            "pieces": max(each.pieces for each in looks),
        }

    def inject(self, stack: Stack) -> None:
        """Add the toxic."""
        ToxicControl(stack).add(self.link, self._name, self.toxic, self.stream, self.attributes)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Probe through the link, and past it: the effect must be on the link alone."""
        looks = self._looks(stack, before["asks"])
        link = link_of(stack, self.link)
        host, _, port = link.upstream.rpartition(":")
        past = look(host, int(port), link.target, to_the_end=self.to_the_end)
        return Proof(
            ok=self.shows(looks, before) and past.outcome == "answered",
            seen={
                "through_link": [_told(each) for each in looks],
                "past_link": _told(past),
                "before": before,
            },
        )

    def heal(self, stack: Stack) -> None:
        """Remove the toxic."""
        ToxicControl(stack).remove(self.link, self._name)

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Probe again: answered, and without the effect."""
        looks = self._looks(stack, before["asks"])
        answered = all(each.outcome == "answered" for each in looks)
        return Proof(
            ok=answered and not self.shows(looks, before),
            seen={"through_link": [_told(each) for each in looks]},
        )

    @property
    def _name(self) -> str:
        return f"ragdrill-{self.slug}"

    def _looks(self, stack: Stack, asks: int = 1) -> list[Look]:
        link = link_of(stack, self.link)
        return [
            look_through(link, timeout=self.probe_timeout, to_the_end=self.to_the_end, asks=asks)
            for _ in range(_PROBES)
        ]


def _told(seen: Look) -> list[Any]:
    return [seen.outcome, round(seen.seconds, 4), seen.received]
