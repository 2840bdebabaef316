"""The operator's own Compose project as a target: started for a run, and gone with it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import docker

from harness.core.errors import HarnessError, NotAllowed, TargetError, UsageError
from harness.core.run import Run
from harness.core.target import TargetFile
from harness.drivers.base import Component, Credentials, Link
from harness.drivers.compose.bringup import bring_up
from harness.drivers.compose.components import components
from harness.drivers.compose.fleet import ComposeFleet
from harness.drivers.compose.links import links_of
from harness.drivers.compose.state import FAULTPROXY, ComposeState
from harness.drivers.containers.engine import connect, sees_processes
from harness.drivers.containers.reaper_client import Reaper
from harness.drivers.containers.stack import ContainerStack, LocalContainerStack
from harness.drivers.embedded.bringup import ALLOW, make_directories
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.state import Secrets
from harness.drivers.embedded.sweep import sweep as sweep_directories
from harness.drivers.embedded.vault import credentials
from harness.drivers.reference import part_of


class ComposeStack(ContainerStack):
    """A project of the operator's, started by one process of a run and attached to by others."""

    state_kind = ComposeState

    @classmethod
    def for_run(cls, run: Run, target: TargetFile, progress: Callable[[str], None]) -> ComposeStack:
        """A stack that ``up()`` starts; UsageError for a target file without ``[compose]``."""
        return cls.of_target(
            run.run_id,
            run.scratch.parent,
            run.directory / "logs",
            target,
            progress,
            run.time_scale,
        )

    @classmethod
    def of_target(
        cls,
        run_id: str,
        scratch_root: Path,
        log_dir: Path,
        target: TargetFile,
        tell: Callable[[str], None] = lambda line: None,
        time_scale: float = 1.0,
    ) -> ComposeStack:
        """A stack that ``up()`` starts; it ends with this process, in whatever way that ends.

        Raises:
            UsageError: the target file has no project, or has control commands.
            EngineError: no container engine answers.
        """
        if target.compose is None:
            raise UsageError(
                "There is no Compose project to start.",
                expected="a target file with [compose] files and [roles.<role>] service",
                actual="none",
                next_step="pytest --target FILE; docs/compose.md has an example",
            )
        if target.control:
            raise UsageError(
                "The compose driver controls the services itself.",
                expected="a target file without [control]",
                actual=", ".join(target.control),
            )
        scratch, logs = scratch_root.absolute() / run_id, log_dir.absolute()
        client = connect()
        keeper, reaper = KeeperClient(run_id, scratch), Reaper(run_id, scratch)

        def boot() -> dict[str, float]:
            make_directories(scratch, logs)
            sweep_directories(scratch.parent)
            # Before the first container: from here on nothing can be left behind.
            reaper.launch(logs)
            keeper.launch(logs)
            try:
                owner = keeper.pid if stack.outlives else None
                return bring_up(client, keeper, str(logs), target, tell, time_scale, owner)
            except BaseException:
                with contextlib.suppress(HarnessError):
                    stack.down()
                raise

        allowed = target.target.allow
        stack = _kind_of(client)(
            client,
            keeper,
            name=target.target.name,
            allow=ALLOW if allowed is None else frozenset(allowed),
            boot=boot,
            reaper=reaper,
            adapter=target.gateway_api.spec,
        )
        return stack

    @classmethod
    def attach(cls, state_file: Path) -> ComposeStack:
        """The stack that another process of the run started; raises TargetError if it is gone."""
        state = ComposeState.load(state_file)
        if not isinstance(state, ComposeState) or not state.project:
            raise TargetError(
                "This is no Compose project.",
                expected=f"the state of one in {state_file}",
                actual="the state of another driver's",
            )
        client = connect()
        keeper = KeeperClient(state.run_id, Path(state.scratch))
        stack = _kind_of(client)(
            client,
            keeper,
            name=state.name,
            allow=frozenset(state.allow),
            adapter=state.adapter,
        )
        stack.up()
        return stack

    @property
    def fleet(self) -> ComposeFleet:
        """The services as they are now; for control below the level of roles."""
        state = cast(ComposeState, self.state)
        return ComposeFleet(self.client, self._keeper, state, Secrets.load(self.scratch))

    @property
    def parts(self) -> ComposeFleet:
        return self.fleet

    def roles(self) -> tuple[str, ...]:
        """The mapped roles; without an edge the gateway serves as one."""
        given = tuple(self.state.roles)
        return given if "edge" in given else (*given, "edge")

    def links(self) -> tuple[Link, ...]:
        return links_of(cast(ComposeState, self.state))

    @property
    def shipped_logs(self) -> Path:
        """What is mounted where the project's log shipper looks (``LOGSHIP_DIR``).

        Raises:
            NotAllowed: it is nothing that can be reached from here.
        """
        container = self.fleet.container("logship") if "logship" in self.state.roles else None
        config = container.attrs["Config"] if container is not None else {}
        looks = [
            word.partition("=")[2]
            for word in config.get("Env") or ()
            if word[:12] == "LOGSHIP_DIR="
        ]
        mounts = container.attrs["Mounts"] if container is not None else []
        for mount in mounts:
            if mount["Destination"] in looks and _is_reachable(Path(mount["Source"])):
                return Path(mount["Source"])
        raise NotAllowed(
            "The directory that the log shipper follows can't be reached.",
            expected="LOGSHIP_DIR of the role logship, a volume of this machine's engine",
            actual=", ".join(looks) or "no such setting",
        )

    def from_here(self, url: str) -> str:
        """An address inside the project, as this machine reaches it; others as they are."""
        state = cast(ComposeState, self.state)
        parts = urlsplit(url)
        address = (parts.hostname, parts.port)
        published = {
            (each["service"], each["port"]): state.ports[part]
            for part, each in state.services.items()
        }
        # A link's proxy has one number, inside and here.
        here = parts.port if parts.hostname == FAULTPROXY else published.get(address)
        return url if here is None else parts._replace(netloc=f"{HOST}:{here}").geturl()

    def components(self) -> tuple[Component, ...]:
        return components(self.fleet)

    def credentials(self, role: str) -> Credentials:
        """As the reference stack's; what the target file has no variable for is left out."""
        fleet = self.fleet
        part_of(fleet.state, role)
        section = (fleet.state.target["roles"].get(role) or {}) if role != "faultproxy" else {}
        known = credentials(fleet, role)
        if role == "objectstore" and section.get("bucket"):
            known["bucket"] = section["bucket"]
        # A login without a password is one that nobody gave.
        nobody = re.compile(r"postgresql://[^:@]*:@")
        return {name: text for name, text in known.items() if text and not nobody.match(text)}

    def replace(self, role: str, env: Mapping[str, str]) -> None:
        """Roll the gateway over where the target file maps a pair; NotAllowed where not."""
        self._needs_a_pair()
        super().replace(role, env)

    def rollback(self, role: str) -> None:
        """Roll the gateway back to its settings before the last ``replace``."""
        self._needs_a_pair()
        super().rollback(role)

    def _needs_a_pair(self) -> None:
        if self.fleet.rollout is None or "edge" not in self.state.roles:
            raise NotAllowed(
                "The target file maps no pair of gateways, so none can be rolled over.",
                expected="[compose.rollout] with service, port and switch, and [roles.edge]",
                next_step="docs/compose.md has an example",
            )


class LocalComposeStack(ComposeStack, LocalContainerStack):
    """One whose processes and volumes are to be seen on this machine, by a user who may."""

    def volume(self, role: str) -> Path:
        """The directory of this machine with the role's data.

        Raises:
            TargetError: the role has no volume of its own, or it can't be reached.
        """
        fleet = self.fleet
        container = fleet.container(part_of(fleet.state, role))
        for mount in fleet.mounts(container) if container is not None else ():
            place = Path(mount["Source"])
            if _is_reachable(place):
                if role == "metadata" and (place / "data").is_dir():
                    return place / "data"
                return place
        raise TargetError(
            f"{role} has no volume that can be reached.",
            expected="a named volume below the engine's directory, and permission to enter it",
            actual=role,
        )


def _is_reachable(place: Path) -> bool:
    try:
        next(place.iterdir(), None)
    except OSError:
        return False
    return True


def _kind_of(client: docker.DockerClient) -> type[ComposeStack]:
    return LocalComposeStack if sees_processes(client) else ComposeStack
