"""The services of a run's project as the parts of a stack: started by Compose, ended by hand."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.models.containers
import requests

from harness.core.errors import NotAllowed, TargetError
from harness.drivers.compose import override
from harness.drivers.compose.cli import ComposeError, command, said, section_of
from harness.drivers.compose.links import inside
from harness.drivers.compose.readiness import own_probe
from harness.drivers.compose.state import ComposeState, project_environment
from harness.drivers.containers import labels
from harness.drivers.containers.engine import EngineError
from harness.drivers.containers.fleet import _RUNNING, Fleet, _told
from harness.drivers.embedded.keeper_client import KeeperClient, KeeperError
from harness.drivers.embedded.links import populate_as, proxy_port_name
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.postgres import ADMIN, DATABASE, Cluster
from harness.drivers.embedded.state import Secrets

COMPOSE_S = 600.0
"""Images may have to be pulled, and dependencies waited for."""
_calls = itertools.count(1)


@dataclass(frozen=True)
class Database(Cluster):
    """The operator's database: its owner and its name are theirs."""

    user: str = ADMIN
    database: str = DATABASE

    def dsn(self, role: str, password: str, host: str = HOST, port: int | None = None) -> str:
        user = self.user if role == ADMIN else role
        return f"postgresql://{user}:{password}@{host}:{port or self.port}/{self.database}"


class ComposeFleet(Fleet):
    """The services that fill roles; each has one container."""

    state: ComposeState

    def __init__(
        self,
        client: docker.DockerClient,
        keeper: KeeperClient,
        state: ComposeState,
        secrets: Secrets,
    ) -> None:
        self.client, self.keeper = client, keeper
        self.state, self.secrets = state, secrets
        self.scratch = Path(state.scratch)
        metadata: dict[str, Any] = state.target["roles"].get("metadata") or {}
        self.cluster = Database(
            self.scratch / "metadata",
            state.ports.get("metadata", 0),
            metadata.get("user") or ADMIN,
            metadata.get("database") or DATABASE,
        )

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.state.services, "faultproxy")

    # --- Compose ------------------------------------------------------------------------------

    def compose(self, *arguments: str, limit_s: float = COMPOSE_S) -> None:
        """Run Compose on the project; it ends with the run, whatever happens to this process.

        Raises:
            ComposeError: carries what Compose said.
        """
        state = self.state
        overrides = {
            state.service(part): settings for part, settings in self.secrets.overrides.items()
        }
        path = override.render(self.scratch, overrides)
        name = f"compose-{os.getpid()}-{next(_calls)}"
        log = self.scratch / f"{name}.log"
        self.keeper.start(
            name,
            # The keeper looks no program up.
            [
                shutil.which("docker") or "docker",
                *command(section_of(state), state.project, override=str(path))[1:],
                *arguments,
            ],
            env={**os.environ, **project_environment(self.secrets.values)},
            cwd=self.scratch,
            log=log,
        )
        try:
            self.keeper.finish(name, limit_s)
        except KeeperError as error:
            text = log.read_text(errors="replace")
            raise ComposeError(
                f"`docker compose {' '.join(arguments)}` failed.",
                expected="exit status 0",
                actual=said(text),
                next_step="what the services said is in " + state.log_dir,
            ) from error
        with contextlib.suppress(OSError):
            log.unlink()

    # --- preparing ----------------------------------------------------------------------------

    def prepare(self, name: str) -> None:
        """Compose makes what the service needs when it is started."""

    def migrate(self) -> None:
        """The project has a deployment job of its own."""

    def connect(self) -> None:
        """Have the fault proxy make a proxy for each link, on every address of its container."""
        populate_as(
            f"http://{HOST}:{self.port('faultproxy')}",
            {
                edge["name"]: (
                    f"0.0.0.0:{self.port(proxy_port_name(edge['name']))}",
                    edge["upstream"],
                )
                for edge in self.state.edges
            },
        )

    # --- control ------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one service with the settings in force; EngineError where it runs already."""
        self._ending(name).unlink(missing_ok=True)
        existing = self.container(name)
        if existing is not None and existing.status in _RUNNING:
            raise EngineError(f"{name} runs already.", actual=existing.short_id)
        given = override.digest(self.secrets.overrides.get(name, {}))
        if existing is not None and existing.labels.get(labels.SETTINGS) == given:
            # Compose takes a service without its dependencies for a changed one, and would make
            # another container of it: what was killed comes back as it was.
            with _told(f"{name} could not be started."):
                existing.start()
            self._after_start(name)
            return
        if existing is not None:
            # Compose makes another container where settings changed; the old one's log goes then.
            self.await_log(existing)
        self.compose("up", "-d", "--no-deps", "--no-build", self.state.service(name))
        self._after_start(name)

    def _after_start(self, name: str) -> None:
        # An edge that asks for the proxy's address but once must ask again.
        if name == "faultproxy" and self.rollout is not None and self.is_running("edge"):
            with contextlib.suppress(TargetError):
                self.switch_edge(self.state.colour)

    def stop(self, name: str) -> None:
        container = self.container(name)
        if container is None or container.status not in _RUNNING:
            return
        self._ending(name).touch(mode=0o600)
        with _told(f"{name} could not be stopped."):
            if container.status == "paused":
                container.unpause()
            grace = container.attrs["Config"].get("StopTimeout") or 10
            self.client.api.stop(container.id, timeout=grace)
        self._await_end(name)

    def wipe(self, name: str) -> None:
        """Kill the service, and have the volumes that it alone uses replaced by empty ones."""
        if self.is_running(name):
            self.kill(name)
        container = self.container(name)
        mounted = [] if container is None else self.volumes(container)
        self._remove_container(name)
        for volume in mounted:
            with _told(f"The volume of {name} could not be removed."):
                try:
                    self.client.api.remove_volume(volume, force=True)
                except docker.errors.APIError as error:
                    # Another service keeps its own there too: what only this one had is gone.
                    if error.status_code not in (requests.codes.conflict, requests.codes.not_found):
                        raise
        # The lost disk's place is empty, and there.
        self.compose("up", "--no-start", "--no-deps", "--no-build", self.state.service(name))

    def volumes(self, container: docker.models.containers.Container) -> list[str]:
        """The project's volumes that a container may write to; nameless ones go with it."""
        return [str(mount["Name"]) for mount in self.mounts(container)]

    def mounts(self, container: docker.models.containers.Container) -> list[dict[str, Any]]:
        """Where the volumes of :meth:`volumes` are, as the engine describes them."""
        return [
            mount
            for mount in container.attrs["Mounts"]
            if mount["Type"] == "volume"
            and mount.get("RW")
            and str(mount.get("Name", "")).startswith(f"{self.state.project}_")
        ]

    @property
    def rollout(self) -> dict[str, Any] | None:
        """``[compose.rollout]`` of the target file."""
        found: dict[str, Any] | None = self.state.target["compose"].get("rollout")
        return found

    def switch_edge(self, colour: str) -> None:
        """Run the operator's command inside the edge; raises TargetError where it fails."""
        if self.rollout is None:
            raise NotAllowed(
                "The target file maps no pair of gateways.", expected="[compose.rollout]"
            )
        upstream = inside(self.state, f"edge-{colour}")
        words: Sequence[str] = self.rollout["switch"]
        wanted = [word.replace("{upstream}", upstream) for word in words]
        with _told("The edge took no command."):
            done = self._there("edge").exec_run(wanted)
        if done.exit_code:
            raise TargetError(
                "The edge could not be switched.",
                expected=f"status 0 of {' '.join(wanted)} inside it",
                actual=f"{done.exit_code}: {bytes(done.output or b'').decode('utf-8', 'replace')}",
                next_step="correct [compose.rollout] switch in the target file",
            )

    # --- looking ------------------------------------------------------------------------------

    @property
    def network(self) -> str:
        return f"{self.state.project}_default"

    def container(self, name: str) -> docker.models.containers.Container | None:
        """The part's container as it is now, if there is one."""
        return self.of_service(self.state.service(name))

    def of_service(self, service: str) -> docker.models.containers.Container | None:
        """The container of a service, mapped or not."""
        chosen = [
            f"com.docker.compose.project={self.state.project}",
            f"com.docker.compose.service={service}",
            "com.docker.compose.oneoff=False",
        ]
        try:
            found = self.client.containers.list(
                all=True, filters={"label": chosen}, ignore_removed=True
            )
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise EngineError("The container engine does not answer.", actual=str(error)) from error
        return found[0] if found else None

    def own_probe(self, name: str) -> Callable[[], str | None] | None:
        """In the operator's way where the target file or the image tells one."""
        return own_probe(self, name)

    def is_running(self, name: str) -> bool:
        return name in self.names and self.ended(name) is None

    def unhealthy(self) -> list[str]:
        """One paragraph for each service that runs no more, or not well: with its last words."""
        told = []
        for container in self.client.containers.list(
            all=True, filters={"label": f"com.docker.compose.project={self.state.project}"}
        ):
            state = container.attrs["State"]
            health = (state.get("Health") or {}).get("Status", "")
            if state["Status"] == "running" and health != "unhealthy":
                continue
            if state["Status"] == "exited" and state["ExitCode"] == 0:
                continue
            service = container.labels["com.docker.compose.service"]
            how = health or f"{state['Status']} ({state['ExitCode']})"
            with contextlib.suppress(docker.errors.APIError):
                words = container.logs(tail=8).decode("utf-8", "replace").strip()[-1500:]
                told.append(f"{service}: {how}; its log ends with:\n{words or '(nothing)'}")
        return told
