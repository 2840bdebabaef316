"""What a roll-out remembers between runs: the release of each colour, and how far it has come."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from harness.core.errors import TargetError
from scripts.dayops.environment import Environment
from scripts.dayops.script import locked


@dataclass
class Memory:
    """``colour`` serves with ``release``; ``former`` is the release before it (None: not known).

    ``taken_back`` is the release that a roll-back replaced, None since the next roll-out.
    ``under_way`` is the release that is being put into service, None between runs; ``to`` the
    colour that it goes to, and ``back`` whether that is a roll-back.
    """

    colour: str = ""
    release: str | None = None
    former: str | None = None
    taken_back: str | None = None
    under_way: str | None = None
    to: str = ""
    back: bool = False

    def begin(self, release: str, to: str, *, back: bool) -> None:
        """Note that a release is about to be put into service."""
        self.under_way, self.to, self.back = release, to, back

    def settle(self) -> None:
        """Note that what was under way serves now."""
        if self.back:
            self.taken_back, self.former = self.release, None
        else:
            self.taken_back, self.former = None, self.release
        self.colour, self.release = self.to, self.under_way
        self.forget()

    def forget(self) -> None:
        """Note that nothing is under way."""
        self.under_way, self.to, self.back = None, "", False


class Keeper:
    """The file that holds a :class:`Memory`; one roll-out of a gateway at a time."""

    def __init__(self, environment: Environment) -> None:
        self.path = _place(environment)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs away; the lock dies with the process. Raises Busy."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        what = "Another roll-out of this gateway is under way."
        with locked(self.path.with_suffix(".lock"), what):
            yield

    def load(self) -> Memory:
        """Return what is remembered, an empty memory at first. Raises TargetError."""
        try:
            raw = json.loads(self.path.read_text())
            return Memory(**{each.name: raw[each.name] for each in fields(Memory)})
        except FileNotFoundError:
            return Memory()
        except (ValueError, KeyError, TypeError) as error:
            raise TargetError(
                "What the last roll-out remembered can't be read.",
                expected=f"a file of this script in {self.path}",
                actual=f"{type(error).__name__}: {error}",
                next_step="remove it, and name what serves now with --current-release",
            ) from error

    def save(self, memory: Memory) -> None:
        """Replace the file in one step."""
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(asdict(memory), indent=1))
        partial.replace(self.path)


def _place(environment: Environment) -> Path:
    if environment.has("ROLLOUT_STATE"):
        return Path(environment["ROLLOUT_STATE"]).absolute()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    name = hashlib.sha256(environment["GATEWAY_URL"].encode()).hexdigest()[:16]
    return Path(base) / "ragdrill" / f"rollout-{name}.json"
