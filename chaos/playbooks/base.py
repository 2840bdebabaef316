"""What a playbook is: steps with a condition to check, an action to run, a way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import UsageError
from harness.drivers.base import Stack

PLAYBOOKS: dict[str, Playbook] = {}


@dataclass(frozen=True)
class Seen:
    """What a check of the operator showed, and whether it calls for the step."""

    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step. ``condition`` is what the operator looks at first; ``action`` what they then do;
    ``undo`` takes it back once the cause is gone. ``sentence``, ``look``, ``command`` and
    ``way_back`` are for the engineer at 3 a.m. and become the runbook."""

    slug: str
    sentence: str
    look: str
    command: str
    way_back: str
    condition: Callable[[Stack], Seen]
    action: Callable[[Stack], None]
    undo: Callable[[Stack], None]


@dataclass(frozen=True)
class Playbook:
    """An incident procedure of the guide; ``anchor`` is where alert links point."""

    slug: str
    title: str
    section: str
    anchor: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if self.slug in PLAYBOOKS:
            raise UsageError(f"Two playbooks are called {self.slug!r}.")
        PLAYBOOKS[self.slug] = self

    def step(self, slug: str) -> Step:
        """Return a step by name.

        Raises:
            UsageError: there is none of this name.
        """
        for step in self.steps:
            if step.slug == slug:
                return step
        raise UsageError(
            f"The playbook {self.slug!r} has no step {slug!r}.",
            expected=", ".join(step.slug for step in self.steps),
        )
