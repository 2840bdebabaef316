"""Random schedules of faults that go together: the same seed draws the same schedule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import UsageError

FIRST_S = 8.0
"""Seconds of quiet at the beginning, and between a fault and the next on the same part."""

LAST_S = 20.0
"""Seconds of quiet at the end, in which the target must come back."""

AT_ONCE = 2
GAP_S = (2.0, 10.0)
LASTS_S = (4.0, 15.0)


@dataclass(frozen=True)
class Choice:
    """A fault that a schedule may hold. ``part`` is the role that it takes away: two faults on one
    part never overlap, for the proof of one would see the other."""

    fault: str
    part: str
    arguments: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Planned:
    """A fault from ``at_s`` on, for ``lasts_s`` seconds."""

    at_s: float
    lasts_s: float
    choice: Choice

    @property
    def until_s(self) -> float:
        return self.at_s + self.lasts_s

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.choice.arguments)
        return f"{self.at_s:.1f} s to {self.until_s:.1f} s: {self.choice.fault} ({told})"


def _on_links() -> list[Choice]:
    found = []
    for target in ("embed", "rerank", "vectordb", "metadata", "fallback", "auth"):
        link = ("link", f"gateway-{target}")
        for delay in (100, 400):
            found.append(Choice("latency", target, (link, ("latency_ms", delay))))
        found.append(Choice("down", target, (link,)))
        found.append(Choice("black-hole", target, (link,)))
        if target != "metadata":
            found += [
                Choice("http-status", target, (link, ("status", code))) for code in (429, 500, 503)
            ]
        if target in ("embed", "fallback"):
            found.append(Choice("http-embedding-space", target, (link,)))
    return found


def _on_roles() -> list[Choice]:
    found = []
    for role in ("embed", "rerank", "fallback", "vectordb", "metadata", "auth", "gateway"):
        found += [Choice(fault, role, (("role", role),)) for fault in ("kill", "pause")]
    return found


CHOICES: tuple[Choice, ...] = (*_on_links(), *_on_roles())
"""All that a game day draws from. None of them loses data that a sound target has acknowledged."""


def possible(links: Sequence[str], roles: Sequence[str]) -> tuple[Choice, ...]:
    """Return the choices that a target with these links and roles can have, in a fixed order."""
    there = {"link": set(links), "role": set(roles)}
    return tuple(
        choice
        for choice in CHOICES
        if all(value in there[name] for name, value in choice.arguments if name in there)
    )


def draw(seed: int, seconds: float, choices: Sequence[Choice] = CHOICES) -> list[Planned]:
    """Draw a schedule of faults for so many seconds, in order of time.

    At most ``AT_ONCE`` faults are on at a time, and never two on one part.

    Raises:
        UsageError: there is no time for a single fault, or nothing to choose from.
    """
    if not choices or seconds < FIRST_S + LASTS_S[0] + LAST_S:
        raise UsageError(
            "No schedule can be drawn.",
            expected=f"at least {FIRST_S + LASTS_S[0] + LAST_S:.0f} s and one fault",
            actual=f"{seconds:.0f} s, {len(choices)} faults",
        )
    chance = random.Random(seed)
    planned: list[Planned] = []
    at = FIRST_S
    while at + LASTS_S[0] + LAST_S <= seconds:
        lasts = min(chance.uniform(*LASTS_S), seconds - LAST_S - at)
        choice = chance.choice(choices)
        on = [each for each in planned if each.until_s > at]
        near = [each for each in planned if each.until_s + FIRST_S > at]
        if len(on) < AT_ONCE and all(each.choice.part != choice.part for each in near):
            planned.append(Planned(round(at, 1), round(lasts, 1), choice))
        at += chance.uniform(*GAP_S)
    return planned
