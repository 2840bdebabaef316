"""The driver contract: what every target offers, and the optional ways to act on it.

A capability is a protocol of its own, asked for with ``isinstance(stack, Kill)``; a driver that
lacks one simply does not have its methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from harness.drivers.embedded.keeper_client import KeeperClient

from harness.core.gateway_api import GatewayApi


@dataclass(frozen=True)
class Endpoint:
    """Where a role answers when asked directly, past every fault proxy."""

    role: str
    url: str
    host: str
    port: int


@dataclass(frozen=True)
class Link:
    """A directed edge between two roles with a fault proxy on it.

    ``url``, ``host`` and ``port`` are what the source role uses; ``upstream`` (``host:port``) is
    where the proxy sends it on. ``name`` is also the name of the proxy.
    """

    name: str
    source: str
    target: str
    url: str
    host: str
    port: int
    upstream: str


@dataclass(frozen=True)
class Component:
    """What fills a role. A stand-in is never to be taken for the product it stands for."""

    role: str
    software: str
    version: str
    stand_in: bool = False
    note: str = ""


Credentials = Mapping[str, str]


@runtime_checkable
class Stack(Protocol):
    """A target under verification."""

    @property
    def run_id(self) -> str: ...

    @property
    def name(self) -> str:
        """The target's name, as reports show it."""
        ...

    @property
    def allow(self) -> frozenset[str]:
        """The permissions of this target: ``read write restart fault destroy``."""
        ...

    @property
    def scratch(self) -> Path:
        """A directory that dies with the run."""
        ...

    def up(self) -> None:
        """Boot the target, or connect to it; raises TargetError when a role is not ready."""
        ...

    def down(self) -> None:
        """End what ``up`` started; nothing of it is left. Safe to call twice."""
        ...

    def roles(self) -> tuple[str, ...]:
        """The roles this target has."""
        ...

    def endpoint(self, role: str) -> Endpoint:
        """The direct address. Raises TargetError for a role that this target does not have."""
        ...

    def ready(self, role: str, timeout_s: float = 30.0) -> None:
        """Return once the role would serve a request; raises TargetError after ``timeout_s``."""
        ...

    def logs(self, role: str, tail: int | None = None) -> str:
        """What the role wrote to its log, all or the last ``tail`` lines."""
        ...

    def components(self) -> tuple[Component, ...]:
        """Software and version of each role, as the running parts report them."""
        ...

    def credentials(self, role: str) -> Credentials:
        """The secrets of a role, by name; never written to history, logs or reports."""
        ...

    def links(self) -> tuple[Link, ...]:
        """The edges that have a fault proxy; empty where the driver has none."""
        ...


@runtime_checkable
class Restart(Protocol):
    """Roles can be stopped and started in their own orderly way, keeping their data."""

    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        """Stop and start; with ``env``, with these settings changed from now on."""
        ...

    def start(self, role: str) -> None: ...

    def stop(self, role: str) -> None: ...


@runtime_checkable
class Kill(Protocol):
    """Roles can be ended with no chance to say goodbye."""

    def kill(self, role: str) -> None:
        """SIGKILL of the role and all its children; returns once they are gone."""
        ...


@runtime_checkable
class Pause(Protocol):
    """Roles can be frozen: they hold their connections and answer nothing."""

    def pause(self, role: str) -> None: ...

    def resume(self, role: str) -> None: ...


@runtime_checkable
class ProcessIds(Protocol):
    """The processes of roles run on this machine and can be looked at through /proc."""

    def pids(self, role: str) -> tuple[int, ...]:
        """The living processes of the role, its own first, then its children; none while down."""
        ...

    def settle(self, role: str) -> None:
        """Wait until a stop or kill of the role that is under way is over, whoever began it."""
        ...

    def exit_status(self, role: str) -> int | None:
        """How the role's process ended (negative: by that signal); None while it runs."""
        ...


@runtime_checkable
class LogFiles(Protocol):
    """The roles' logs are files in one directory of this machine."""

    def log_files(self, role: str) -> tuple[Path, ...]:
        """One file per process of the role."""
        ...


@runtime_checkable
class ShippedLogs(Protocol):
    """What is written into one directory of this machine is what the log shipper follows."""

    @property
    def shipped_logs(self) -> Path:
        """The directory; every ``<process>.log`` in it. Raises NotAllowed where it is hidden."""
        ...


@runtime_checkable
class Companions(Protocol):
    """Processes of a case's own can be started on this machine, and end with the run."""

    @property
    def keeper(self) -> KeeperClient: ...

    def log_place(self, name: str) -> Path:
        """The log file of a process of this name."""
        ...


@runtime_checkable
class WalArchive(Protocol):
    """The metadata store copies its write-ahead log to a directory that can be reached, and from
    there to ``wal/`` in the bucket of the backups."""

    @property
    def archive_dir(self) -> Path: ...


@runtime_checkable
class Replace(Protocol):
    """Roles can be rolled to new settings with no failed request."""

    def replace(self, role: str, env: Mapping[str, str]) -> None:
        """Roll over. A failing health check leaves the old one serving and raises TargetError."""
        ...

    def rollback(self, role: str) -> None:
        """Roll back to the settings that were in force before the last ``replace``."""
        ...


@runtime_checkable
class Volume(Protocol):
    """The data directories of roles can be reached."""

    def volume(self, role: str) -> Path: ...

    def wipe(self, role: str) -> None:
        """Delete the role's data, as a lost disk would; the role is stopped by this."""
        ...


@runtime_checkable
class Links(Protocol):
    """There is a fault proxy that speaks Toxiproxy's HTTP API, with one proxy per link."""

    def faultproxy(self) -> str:
        """The URL of its control API."""
        ...

    def links(self) -> tuple[Link, ...]: ...


@runtime_checkable
class Adapted(Protocol):
    """The gateway and the edge speak an API of their own, or may do so."""

    @property
    def gateway_api(self) -> GatewayApi:
        """How they are asked and what their answers say (``[roles.gateway] adapter``)."""
        ...
