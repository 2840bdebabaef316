"""What the owner of a stack tells the run's other processes: its state and its secrets."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from harness.core.errors import TargetError

STATE_NAME = "stack.json"
SECRETS_NAME = "secrets.json"


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it at any moment."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


@dataclass
class State:
    """Everything about a booted stack that is no secret.

    ``ports`` by process or proxy name; ``colour`` is the gateway that nginx sends requests to;
    ``roles`` the roles that were booted; ``absent`` those that could not be, with the reason;
    ``allow`` what cases may do to it.
    """

    run_id: str
    scratch: str
    log_dir: str
    ports: dict[str, int]
    time_scale: float
    roles: list[str]
    absent: dict[str, str] = field(default_factory=dict)
    colour: str = "blue"
    real_toxiproxy: bool = False
    booted_at: float = 0.0
    name: str = "reference"
    allow: list[str] = field(default_factory=list)

    def save(self) -> None:
        write_private(Path(self.scratch) / STATE_NAME, json.dumps(asdict(self), indent=1))

    def filled_by(self, role: str) -> str:
        """The role whose part fills a role: itself, but where a part fills two."""
        return role

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises TargetError where there is no stack behind the file, or one of another driver."""
        raw = _read(path)
        known = {each.name for each in fields(cls)}
        if strange := sorted(set(raw) - known):
            raise TargetError(
                "This is no booted stack.",
                expected=f"the state of an embedded stack in {path}",
                actual=f"a file with {', '.join(strange)}",
                next_step="a run of another driver lies there; name the run you mean",
            )
        return cls(**raw)


@dataclass
class Secrets:
    """The random credentials of one run, and the settings that contain some.

    ``overrides``: changed settings by process name; ``previous``: those of the gateway that the
    last replacement took out of service.
    """

    values: dict[str, str]
    overrides: dict[str, dict[str, str]] = field(default_factory=dict)
    previous: dict[str, str] | None = None

    def save(self, scratch: Path) -> None:
        write_private(scratch / SECRETS_NAME, json.dumps(asdict(self)))

    @classmethod
    def load(cls, scratch: Path) -> Secrets:
        return cls(**_read(scratch / SECRETS_NAME))


def _read(path: Path) -> dict[str, Any]:
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TargetError(
            "There is no booted stack to attach to.",
            expected=f"the state of one in {path}",
            actual=str(error),
            next_step="boot one: `ragdrill up`, or run pytest without --target",
        ) from error
    return raw
