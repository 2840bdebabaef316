"""What the owner of a Compose project tells the run's other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import TargetError
from harness.drivers.containers.state import ContainerState

FAULTPROXY = "ragdrill-faultproxy"
"""The one service that a run adds to the operator's."""
ENVIRONMENT = "environment "
"""Before a variable's name: a secret that the project takes from its environment."""


@dataclass
class ComposeState(ContainerState):
    """As that of a stack of containers, and what belongs to the operator's project.

    ``project`` is the run's own name for it; ``target`` the target file; ``services`` by part the
    service and the port inside; ``edges`` the links, each with what its proxy sends on to.
    """

    driver: str = "compose"
    project: str = ""
    target: dict[str, Any] = field(default_factory=dict)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    edges: list[dict[str, Any]] = field(default_factory=list)

    def filled_by(self, role: str) -> str:
        """Without an edge the gateway serves as one."""
        return "gateway" if role == "edge" and role not in self.roles else role

    def service(self, part: str) -> str:
        """The service that a part is. Raises TargetError where none is mapped to it."""
        if part == "faultproxy":
            return FAULTPROXY
        if part not in self.services:
            raise TargetError(
                f"No service is mapped to {part}.",
                expected=", ".join(self.services),
                actual=part,
                next_step="name one in the target file: service of [roles.<role>]",
            )
        return str(self.services[part]["service"])

    def part_of_service(self, service: str) -> str:
        """The part that a service is; its own name where it fills no role."""
        if service == FAULTPROXY:
            return "faultproxy"
        found = (part for part, each in self.services.items() if each["service"] == service)
        return next(found, service)


def project_environment(values: Mapping[str, str]) -> dict[str, str]:
    """The variables that the project is given beside the caller's own."""
    return {
        name.removeprefix(ENVIRONMENT): value
        for name, value in values.items()
        if name.startswith(ENVIRONMENT)
    }
