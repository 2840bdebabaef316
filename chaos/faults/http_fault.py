"""Common ground of the faults that change HTTP answers on one link."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.http_probe import Answer, Ask, Line, line_past, line_through
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look
from chaos.faults.toxics import link_of
from harness.core.errors import UsageError
from harness.drivers.base import Link, Stack

_CHANCE = 1e-6
"""A true rate is taken for another one, to either side, so seldom."""
_PROBES = 3
_PROBES_OF_A_SHARE = 300
"""By exact binomial tails, with ``_CHANCE`` on either side: a rate of 0.3 is told from half of it
in 91 of 100 proofs and from twice it always, 0.2 from a third of it in 98 of 100."""
_LEAST_RATE = 0.05


@dataclass(frozen=True)
class HttpFault(LinkFault):
    """Changes the share ``rate`` of the answers on ``link``; needs the reference fault proxy.

    The proof counts changed answers through the link against the rate, and demands that none is
    changed past it.
    """

    rate: float = 1.0

    where: ClassVar[str] = "any HTTP link"
    targets: ClassVar[tuple[str, ...]] = ()
    """The only roles whose answers can be changed so; empty for every HTTP role."""

    def __post_init__(self) -> None:
        super().__post_init__()
        target = self.link.rpartition("-")[2]
        if target == "metadata" or (self.targets and target not in self.targets):
            wanted = " or ".join(f"a link to {role}" for role in self.targets)
            raise UsageError(
                f"The fault {self.slug!r} can't hit this link.",
                expected=wanted or "a link that carries HTTP",
                actual=repr(self.link),
            )
        in_range(self.slug, "rate", self.rate, _LEAST_RATE, 1, "of the answers")

    @property
    def attributes(self) -> dict[str, Any]:
        """The toxic draws by itself."""
        return {"rate": self.rate}

    @property
    def probes(self) -> int:
        """How many answers are looked at."""
        return _PROBES if self.rate == 1 else _PROBES_OF_A_SHARE

    @abstractmethod
    def ask(self, stack: Stack, link: Link, line: Line) -> Ask:
        """The request whose answer shows the effect."""

    @abstractmethod
    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """Whether this answer is one that the fault has changed."""

    def whole(self, answer: Answer, before: dict[str, Any]) -> bool:
        """Whether this answer is as it should be."""
        return 200 <= answer.status < 300 and not self.hit(answer, before)

    def learn(self, answers: list[Answer]) -> dict[str, Any]:
        """What of the answers, while all is well, ``hit`` compares with."""
        return {}

    def exchange(self, line: Line, ask: Ask, count: int) -> list[Answer]:
        """Ask so many times on one connection."""
        return [line.ask(ask) for _ in range(count)]

    def before(self, stack: Stack) -> dict[str, Any]:
        """Ask while all is well."""
        link = link_of(stack, self.link)
        with line_through(link) as line:
            ask = self.ask(stack, link, line)
            answers = self.exchange(line, ask, _PROBES)
        known = self.learn(answers)
        whole = sum(self.whole(answer, known) for answer in answers)
        return known | {"whole": whole == len(answers), "statuses": _statuses(answers)}

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Count what is changed through the link and past it."""
        link = link_of(stack, self.link)
        with line_past(link) as line:
            ask = self.ask(stack, link, line)
            past = self.exchange(line, ask, _PROBES)
        with line_through(link) as line:
            through = self.exchange(line, ask, self.probes)
        hits = sum(self.hit(answer, before) for answer in through)
        clean = all(self.whole(answer, before) for answer in past)
        others = sum(not self.hit(a, before) and not self.whole(a, before) for a in through)
        return Proof(
            before["whole"] and clean and not others and plausible(hits, len(through), self.rate),
            {
                "changed": hits,
                "of": len(through),
                "statuses": _statuses(through),
                "past_link": _statuses(past),
                "before": before,
            },
        )

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Every answer is as it was."""
        link = link_of(stack, self.link)
        with line_past(link) as line:
            ask = self.ask(stack, link, line)
        with line_through(link) as line:
            answers = self.exchange(line, ask, self.probes)
        whole = sum(self.whole(answer, before) for answer in answers)
        return Proof(
            whole == len(answers),
            {"whole": whole, "of": len(answers), "statuses": _statuses(answers)},
        )

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """Bytes and times do not show it: see ``prove``."""
        return False


def plausible(hits: int, of: int, rate: float) -> bool:
    """Whether so many of so many hits fit the rate: neither binomial tail is under 10⁻⁶."""
    if rate == 1:
        return hits == of > 0

    def chance(counts: Iterable[int]) -> float:
        return sum(math.comb(of, k) * rate**k * (1 - rate) ** (of - k) for k in counts)

    fewer, more = chance(range(hits + 1)), chance(range(hits, of + 1))
    return hits > 0 and min(fewer, more) >= _CHANCE


def _statuses(answers: list[Answer]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for answer in answers:
        key = str(answer.status or "broken")
        counted[key] = counted.get(key, 0) + 1
    return counted
