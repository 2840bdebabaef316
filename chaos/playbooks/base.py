"""What a playbook is: steps with a condition to check, an action, an effect to expect, a way back.

To add one: a module in this directory that makes one :class:`Playbook` (found by being there).
Each step's ``condition``, ``effect``, ``action`` and ``undo`` take a target and nothing else, so
that the same step serves the operator (``ragdrill playbook``), the scenario and the runbook:

- ``condition`` looks, changes nothing, and returns :class:`Seen`: whether what the operator sees
  calls for this step, with the live values. It must be false for a fault that the step is not for.
- ``action`` acts through a capability of the driver (:func:`restartable`, :func:`replaceable`) or
  by a script of ``scripts/``; it returns once it is done, and may be repeated. It never waits for
  things to get better: whether they did is for ``effect`` and the objective to say.
- ``effect`` looks again, right after the action, at what the step itself changes.
- ``undo`` takes the action back once the cause is gone, and is safe when there is nothing to undo.

A check that can't be made on this target raises TargetError (or NotAllowed): that is neither true
nor false. Then write a scenario for each step (``fixtures/scenario.py`` says how).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import TargetError, UsageError
from harness.drivers.base import Replace, Restart, Stack

PLAYBOOKS: dict[str, Playbook] = {}


@dataclass(frozen=True)
class Seen:
    """What a check of the operator showed (names with units), and whether it says yes."""

    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)


def nothing_to_undo(stack: Stack) -> None:
    """The way back of a step that leaves nothing behind, such as a restart."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a playbook.

    ``sentence``, ``look`` (what to check first), ``command``, ``expect`` (what it changes, and how
    that shows) and ``way_back`` are for the engineer at 3 a.m.: whole sentences with the very
    commands, which become the runbook. ``needs`` are the permissions that the action takes.
    ``ends_cause``: the action removes the cause itself, as a restart does; the other kind leads
    around a cause that stays. A scenario demands of the other kind that the fault be still on when
    the objective is met again.
    """

    slug: str
    sentence: str
    look: str
    command: str
    expect: str
    way_back: str
    condition: Callable[[Stack], Seen]
    action: Callable[[Stack], None]
    effect: Callable[[Stack], Seen]
    undo: Callable[[Stack], None] = nothing_to_undo
    needs: tuple[str, ...] = ("restart",)
    ends_cause: bool = False


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """An incident procedure of the guide (``section``). ``anchor`` is where alert links point,
    ``alerts`` are those that do, ``starts_when`` says what brings an engineer here."""

    slug: str
    title: str
    section: str
    anchor: str
    starts_when: str
    steps: tuple[Step, ...]
    alerts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.slug in PLAYBOOKS:
            raise UsageError(f"Two playbooks are called {self.slug!r}.")
        if any(self.anchor == other.anchor for other in PLAYBOOKS.values()):
            raise UsageError(f"Two playbooks share the anchor {self.anchor!r}.", actual=self.slug)
        if not self.steps or len({step.slug for step in self.steps}) != len(self.steps):
            raise UsageError(f"The playbook {self.slug!r} needs steps, each with its own name.")
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


def restartable(stack: Stack, role: str) -> Restart:
    """Return the target as one whose roles can be restarted.

    Raises:
        TargetError: this target gives no way to do that.
    """
    if not isinstance(stack, Restart):
        raise _no_way(stack, role, "restart")
    return stack


def replaceable(stack: Stack, role: str = "gateway") -> Replace:
    """Return the target as one whose gateway can be rolled to other settings.

    Raises:
        TargetError: this target gives no way to do that.
    """
    if not isinstance(stack, Replace):
        raise _no_way(stack, role, "replace")
    return stack


def _no_way(stack: Stack, role: str, what: str) -> TargetError:
    return TargetError(
        f"The target {stack.name!r} gives no way to {what} {role}.",
        expected=f"a driver that can {what} it, or a command under [control.{role}]",
        actual=type(stack).__name__,
        next_step="do it by hand as docs/runbook.md says, or add the command to the target file",
    )
