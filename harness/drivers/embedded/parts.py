"""What booting, readiness, rollout and control need of the parts of a stack, however they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from harness.drivers.embedded.postgres import Cluster
from harness.drivers.embedded.state import Secrets, State


class Parts(Protocol):
    """The parts of one stack by name: processes here, containers with another driver.

    A part has the name of its role, but for the gateway's two (``gateway-blue``,
    ``gateway-green``). ``cluster`` knows the metadata store's address from this machine.
    """

    @property
    def state(self) -> State: ...

    @property
    def secrets(self) -> Secrets: ...

    @property
    def scratch(self) -> Path: ...

    @property
    def cluster(self) -> Cluster: ...

    def port(self, name: str) -> int:
        """The port of this machine on which a part, or the proxy of a link, answers."""
        ...

    def log(self, name: str) -> Path: ...

    def prepare(self, name: str) -> None:
        """Make what the part needs before it starts; keeps data that is there."""
        ...

    def start(self, name: str) -> None: ...

    def stop(self, name: str) -> None:
        """End it in its own orderly way; returns once it is gone."""
        ...

    def kill(self, name: str) -> None:
        """SIGKILL of the part and all below it; returns once they are gone."""
        ...

    def freeze(self, name: str) -> None: ...

    def thaw(self, name: str) -> None: ...

    def wipe(self, name: str) -> None:
        """Kill the part and delete all its data."""
        ...

    def is_running(self, name: str) -> bool: ...

    def ended(self, name: str) -> str | None:
        """Why the part does not run; None while it does."""
        ...

    def own_probe(self, name: str) -> Callable[[], str | None] | None:
        """How a part is asked whether it would serve, where that is not the reference stack's way.

        What is returned gives None when it would, else the reason why not.
        """
        ...

    def last_words(self, name: str) -> str:
        """The last lines that its present life wrote to its log."""
        ...

    def migrate(self) -> None:
        """Run the deployment job; raises TargetError with its last words when it fails."""
        ...

    def connect(self) -> None:
        """Have the fault proxy make a proxy for each link."""
        ...

    def switch_edge(self, colour: str) -> None:
        """Send new connections of the edge to the gateway of this colour."""
        ...

    def edge_workers(self) -> dict[int, int]:
        """nginx's workers, pid to start time (0 where that can't be seen)."""
        ...
