"""What a fault is: arguments with units, an injection, a proof that it landed, an undo."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.core.errors import NotAllowed, UsageError
from harness.drivers.base import Stack

FAULTS: dict[str, type[Fault]] = {}


@dataclass(frozen=True)
class Proof:
    """What was seen on the data path or in the operating system, and whether it shows the effect.

    The control API's own answer is never a proof.
    """

    ok: bool
    seen: dict[str, Any] = field(default_factory=dict)


class Fault(ABC):
    """One way to break a target. Subclasses are frozen dataclasses whose fields are arguments.

    ``slug`` names the fault, ``sentence`` says what it does, ``needs`` are the permissions that the
    target must give. Bad arguments are refused at construction.
    """

    slug: ClassVar[str]
    sentence: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("fault",)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "slug" in cls.__dict__:
            if cls.slug in FAULTS and FAULTS[cls.slug].__qualname__ != cls.__qualname__:
                raise UsageError(f"Two faults are called {cls.slug!r}.", actual=cls.__qualname__)
            FAULTS[cls.slug] = cls

    @property
    @abstractmethod
    def on(self) -> str:
        """The link or role that is hit."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def check_target(self, stack: Stack) -> None:
        """Refuse a target that cannot have this fault, before anything is touched.

        Raises:
            NotAllowed: a permission or a capability is missing.
        """
        lacking = [need for need in self.needs if need not in stack.allow]
        if lacking:
            raise NotAllowed(
                f"The target {stack.name!r} does not allow the fault {self.slug!r}.",
                expected=f"allow with {', '.join(self.needs)}",
                actual=", ".join(sorted(stack.allow)) or "nothing",
                next_step="extend [target] allow in the target file, if it may be broken so",
            )

    @abstractmethod
    def before(self, stack: Stack) -> dict[str, Any]:
        """Measure what the proof will be compared with, while all is well."""

    @abstractmethod
    def inject(self, stack: Stack) -> None:
        """Switch the fault on."""

    @abstractmethod
    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Look for the effect, independently of whatever switched it on."""

    @abstractmethod
    def heal(self, stack: Stack) -> None:
        """Switch the fault off. Safe when it never was on and safe to repeat."""

    @abstractmethod
    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Look whether the effect is gone."""

    def release(self, run_id: str, scratch: Path) -> list[str]:
        """Give back what the fault holds outside a target that is gone, and say what it was.

        For control groups and mounts, which outlive the processes they were made for. What lies
        in ``scratch`` and what the target's own processes held is gone with the target.
        """
        return []

    def __str__(self) -> str:
        rest = ", ".join(
            f"{name}={value}" for name, value in self.arguments.items() if value != self.on
        )
        return f"{self.slug} on {self.on}" + (f" ({rest})" if rest else "")


def in_range(fault: str, name: str, value: float, low: float, high: float, unit: str) -> None:
    """Refuse an argument outside [low, high].

    Raises:
        UsageError: it is outside, or no number.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(
            f"The fault {fault!r} can't be injected with this {name}.",
            expected=f"{low} to {high} {unit}",
            actual=repr(value),
        )
