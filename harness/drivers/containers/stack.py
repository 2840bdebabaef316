"""The target made of containers: every role from an image, in a network of the run's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import docker

from harness.core.adapters import load_api
from harness.core.errors import HarnessError, NotAllowed, TargetError, UsageError
from harness.core.run import Run
from harness.core.target import TargetFile
from harness.drivers.base import Component
from harness.drivers.containers.bringup import Options, bring_up
from harness.drivers.containers.components import components
from harness.drivers.containers.engine import connect, sees_processes
from harness.drivers.containers.fleet import Fleet
from harness.drivers.containers.reaper_client import Reaper
from harness.drivers.containers.recipes import PARTS
from harness.drivers.containers.removal import remove_run
from harness.drivers.containers.state import ContainerState
from harness.drivers.embedded.boot import Progress
from harness.drivers.embedded.bringup import ALLOW, lines, make_directories, silent
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.state import Secrets
from harness.drivers.embedded.sweep import sweep as sweep_directories
from harness.drivers.reference import ReferenceStack, part_of

# Where the data lies inside a role's volume; elsewhere the whole volume is data.
_DATA = {"metadata": "data"}


class ContainerStack(ReferenceStack):
    """A stack of containers, booted by one process of a run and attached to by others."""

    state_kind = ContainerState
    relayed = True
    """Published ports are listened on by the engine itself, which takes a connection before it
    knows whether anybody inside does."""

    def __init__(
        self,
        client: docker.DockerClient,
        keeper: KeeperClient,
        *,
        name: str,
        allow: frozenset[str],
        boot: Callable[[], dict[str, float]] | None = None,
        reaper: Reaper | None = None,
        adapter: str = "",
    ) -> None:
        super().__init__(keeper.run_id, keeper.scratch, name=name, allow=allow, boot=boot)
        self.client = client
        self._keeper = keeper
        self._reaper = reaper
        self.gateway_api = load_api(adapter)

    @classmethod
    def for_run(
        cls, run: Run, target: TargetFile, progress: Callable[[str], None]
    ) -> ContainerStack:
        """A stack that ``up()`` boots; UsageError for a target file that gives addresses."""
        gateway = target.roles.get("gateway")
        given = [role for role in target.roles if role != "gateway"]
        if given or target.control or (gateway and not gateway.only("adapter")):
            raise UsageError(
                "The containers driver boots every role itself.",
                expected="a target file without [control], and of [roles] the gateway's adapter",
                actual=", ".join([*target.roles, *target.control]),
                next_step="remove them; RAGDRILL_IMAGE_<ROLE> puts an image of yours into a role",
            )
        allowed = target.target.allow
        options = Options(
            time_scale=run.time_scale,
            name=target.target.name,
            allow=ALLOW if allowed is None else frozenset(allowed),
            adapter=(gateway.adapter if gateway else None) or "",
        )
        return cls.planned(
            run.run_id,
            run.scratch.parent,
            run.directory / "logs",
            options,
            lines(progress),
            progress,
        )

    @classmethod
    def planned(
        cls,
        run_id: str,
        scratch_root: Path,
        log_dir: Path,
        options: Options | None = None,
        progress: Progress = silent,
        tell: Callable[[str], None] = lambda line: None,
    ) -> ContainerStack:
        """A stack that ``up()`` boots; it ends with this process, in whatever way that ends.

        Raises EngineError where no container engine answers.
        """
        chosen = options or Options()
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
                return bring_up(client, keeper, logs, chosen, progress, tell, owner)
            except BaseException:
                with contextlib.suppress(HarnessError):
                    stack.down()
                raise

        stack = _kind(client)(
            client,
            keeper,
            name=chosen.name,
            allow=chosen.allow,
            boot=boot,
            reaper=reaper,
            adapter=chosen.adapter,
        )
        return stack

    @classmethod
    def boot(
        cls,
        run_id: str,
        scratch_root: Path,
        log_dir: Path,
        options: Options | None = None,
        progress: Progress = silent,
        tell: Callable[[str], None] = lambda line: None,
    ) -> ContainerStack:
        """Boot a stack. Raises TargetError, with nothing left, when a part does not come up."""
        stack = cls.planned(run_id, scratch_root, log_dir, options, progress, tell)
        stack.up()
        return stack

    @classmethod
    def attach(cls, state_file: Path) -> ContainerStack:
        """The stack that another process of the run booted; raises TargetError if it is gone."""
        state = ContainerState.load(state_file)
        if not isinstance(state, ContainerState) or not state.labels:
            raise TargetError(
                "This is no stack of containers.",
                expected=f"the state of one in {state_file}",
                actual="the state of another driver's",
            )
        client = connect()
        keeper = KeeperClient(state.run_id, Path(state.scratch))
        stack = _kind(client)(
            client,
            keeper,
            name=state.name,
            allow=frozenset(state.allow),
            adapter=state.adapter,
        )
        stack.up()
        return stack

    def still_there(self) -> None:
        """Raise KeeperError where the run that booted this has ended."""
        self._keeper.call("status")

    def detach(self) -> None:
        """Let the stack outlive this process, until ``down()`` or the end of its keeper."""
        if self._reaper is not None:
            self._reaper.hand_over(self._keeper.pid)
        super().detach()

    def down(self) -> None:
        """Remove every container, network and volume of the run; safe to call twice.

        Raises TargetError for what could not be removed.
        """
        left = remove_run(self.client, self.run_id)
        self._keeper.shutdown()
        if self._reaper is not None:
            self._reaper.dismiss()
        if left:
            raise TargetError(
                "Not everything of the run could be removed.",
                expected="no container, network or volume",
                actual=", ".join(left.words()),
                next_step=f"docker ps -a --filter label=org.ragdrill.run={self.run_id}",
            )

    @property
    def fleet(self) -> Fleet:
        """The containers as they are now; for control below the level of roles."""
        state = cast(ContainerState, self.state)
        return Fleet(self.client, self._keeper, state, Secrets.load(self.scratch))

    @property
    def parts(self) -> Fleet:
        return self.fleet

    @property
    def keeper(self) -> KeeperClient:
        """For a case that needs a process of its own that must not outlive the run."""
        return self._keeper

    @property
    def reaper_pid(self) -> int | None:
        """The process that removes the run's containers should this one die."""
        return None if self._reaper is None else self._reaper.pid

    def from_here(self, url: str) -> str:
        """An address inside the run's network, as this machine reaches it; others as they are."""
        parts = urlsplit(url)
        if parts.hostname not in PARTS or parts.port is None:
            return url
        port = self.fleet.book.recipe(parts.hostname).published.get(parts.port)
        return url if port is None else parts._replace(netloc=f"{HOST}:{port}").geturl()

    def log_place(self, name: str) -> Path:
        """Where the log of a process of a case's own belongs."""
        return self.fleet.log(name)

    def replace(self, role: str, env: Mapping[str, str]) -> None:
        """Roll the gateway over; NotAllowed where its API does not tell its colour."""
        self._needs_a_colour()
        super().replace(role, env)

    def rollback(self, role: str) -> None:
        """Roll the gateway back to its settings before the last ``replace``."""
        self._needs_a_colour()
        super().rollback(role)

    def _needs_a_colour(self) -> None:
        if self.gateway_api.spec:
            raise NotAllowed(
                "Which gateway answers can't be seen through an adapter, so no rollout is shown.",
                expected="the header X-Gateway-Colour of the reference gateway",
                actual=f"the adapter {self.gateway_api.name!r}",
            )

    def components(self) -> tuple[Component, ...]:
        return components(self.fleet)

    def logs(self, role: str, tail: int | None = None) -> str:
        fleet = self.fleet
        container = fleet.container(part_of(fleet.state, role))
        if container is not None:
            fleet.await_log(container)
        return super().logs(role, tail)


class LocalContainerStack(ContainerStack):
    """One whose processes and volumes are to be seen on this machine, by a user who may."""

    def pids(self, role: str) -> tuple[int, ...]:
        return self.fleet.pids(part_of(self.state, role))

    def settle(self, role: str) -> None:
        """Wait until a stop or kill of the role that somebody else began is over."""
        self.fleet.settle(part_of(self.state, role))

    def exit_status(self, role: str) -> int | None:
        return self.fleet.exit_status(part_of(self.state, role))

    def volume(self, role: str) -> Path:
        """The directory of this machine with the role's data."""
        state = cast(ContainerState, self.state)
        part_of(state, role)
        if role not in state.volumes:
            raise TargetError(
                f"{role} has no volume that can be reached.",
                expected=", ".join(state.volumes) or "volumes below the engine's directory",
                actual=role,
            )
        return Path(state.volumes[role]) / _DATA.get(role, "")

    @property
    def archive_dir(self) -> Path:
        """Where the metadata store copies each finished segment of its write-ahead log."""
        return self.volume("metadata").parent / "archive"


def _kind(client: docker.DockerClient) -> type[ContainerStack]:
    return LocalContainerStack if sees_processes(client) else ContainerStack
