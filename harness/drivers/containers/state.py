"""What the owner of a stack of containers tells the run's other processes."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.drivers.embedded.state import State


@dataclass
class ContainerState(State):
    """As the embedded stack's, and what belongs to containers.

    ``source`` where images come from (official, local); ``labels`` of everything the run makes;
    ``gpu`` whether the engine has one to give; ``volumes`` where the volumes of the roles lie on
    this machine, empty where they can't be reached; ``subnet`` the run's network's addresses;
    ``adapter`` the one that the target file names for the gateway.
    """

    driver: str = "containers"
    source: str = "official"
    labels: dict[str, str] = field(default_factory=dict)
    gpu: bool = False
    subnet: str = ""
    volumes: dict[str, str] = field(default_factory=dict)
    adapter: str = ""
