"""Whether this process is being asked to stop, as seen by readiness and by connections."""

from __future__ import annotations


class Lifecycle:
    """The state that the server sets on SIGTERM and that middleware and `/readyz` read."""

    def __init__(self) -> None:
        self.draining = False


lifecycle = Lifecycle()
"""The one life cycle of this process."""
