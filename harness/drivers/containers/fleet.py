"""The containers of one stack: how each is prepared, started, ended and looked at."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.models.containers
import requests

from harness.core.adapters import load_api
from harness.core.errors import TargetError
from harness.drivers import adapted
from harness.drivers.containers import labels
from harness.drivers.containers.configuration import write_configuration
from harness.drivers.containers.engine import EngineError
from harness.drivers.containers.launch import launch
from harness.drivers.containers.logs import POSITIONS, WRITTEN_S, await_written
from harness.drivers.containers.recipes import PARTS, Cookbook, role_of
from harness.drivers.containers.state import ContainerState
from harness.drivers.embedded import procfs
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.links import EDGES, links, populate_as, proxy_port_name
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.postgres import Cluster
from harness.drivers.embedded.processes import migrate
from harness.drivers.embedded.readiness import PROBE_S, over_http
from harness.drivers.embedded.services import Context
from harness.drivers.embedded.state import Secrets

GONE_S = 30.0
_LOOK_S = 0.02
# Parts that look into another one's volume.
_READERS = {"objectstore": ("exporter",)}
_RUNNING = ("running", "paused", "restarting")
# What other people's images of these say of themselves has a path of its own.
_ASKED_BY_IMAGE = ("embed", "rerank", "logs", "gpu")


class Fleet:
    """The parts of the stack that ``state`` and ``secrets`` describe, as containers."""

    def __init__(
        self,
        client: docker.DockerClient,
        keeper: KeeperClient,
        state: ContainerState,
        secrets: Secrets,
    ) -> None:
        self.client = client
        self.keeper = keeper
        self.state = state
        self.secrets = secrets
        self.scratch = Path(state.scratch)
        self.cluster = Cluster(self.scratch / "metadata", state.ports["metadata"])
        self.book = Cookbook(state, secrets)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the stack, up or down."""
        return PARTS

    def port(self, name: str) -> int:
        return self.state.ports[name]

    def log(self, name: str) -> Path:
        return Path(self.state.log_dir) / f"{name}.log"

    def name_of(self, part: str) -> str:
        """The container's name; no other run has it."""
        return f"ragdrill-{self.state.run_id}-{part}"

    # --- preparing ----------------------------------------------------------------------------

    def prepare(self, name: str) -> None:
        """Make the part's volumes and write its configuration; keeps data that is there."""
        looked_into = [part for part, readers in _READERS.items() if name in readers]
        for part in (name, *looked_into):
            if self.book.images[part].data:
                self.make_volume(part)
        write_configuration(self.book, name)

    def make_volume(self, part: str) -> Path:
        """Make the volume of a part unless it is there; returns where it lies for the engine."""
        name = self.book.storage(part)
        if name.startswith("/"):
            Path(name).mkdir(mode=0o700, exist_ok=True)
            return Path(name)
        with contextlib.suppress(docker.errors.NotFound):
            return Path(self.client.api.inspect_volume(name)["Mountpoint"])
        made = self.client.api.create_volume(
            name, labels={**self.state.labels, labels.PART: role_of(part)}
        )
        user = self.book.recipe(part).user
        place = Path(made["Mountpoint"])
        # What is mounted takes over the image's owner of that directory, where it has one.
        with contextlib.suppress(OSError):
            uid, gid = (int(number) for number in user.split(":")) if user else (0, 0)
            shutil.chown(place, uid, gid)
        return place

    def migrate(self) -> None:
        """Run the deployment job from this machine, as an operator would."""
        directory = self.scratch / "migrate"
        directory.mkdir(mode=0o700, exist_ok=True)
        context = Context(
            self.scratch,
            self.state.ports,
            self.secrets.values,
            self.cluster,
            Path(self.state.log_dir),
        )
        migrate(self.keeper, directory, self.log("migrate"), context)

    def connect(self) -> None:
        """Have the fault proxy make a proxy for each link, on every address of its container."""
        process = {edge.name: edge.process for edge in EDGES}
        populate_as(
            f"http://{HOST}:{self.port('faultproxy')}",
            {
                link.name: (
                    f"0.0.0.0:{self.port(proxy_port_name(link.name))}",
                    self.book.context.address(process[link.name]),
                )
                for link in links(self.state.ports, self.state.absent)
            },
        )

    # --- control ------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one part with the settings in force; EngineError where it runs already."""
        self._ending(name).unlink(missing_ok=True)
        recipe = self.book.recipe(name)
        existing = self.container(name)
        with _told(f"{name} could not be started."):
            if existing is not None:
                if existing.status in _RUNNING:
                    raise EngineError(f"{name} runs already.", actual=existing.short_id)
                if existing.labels.get(labels.SETTINGS) == recipe.digest:
                    existing.start()
                    self._after_start(name)
                    return
                self.await_log(existing)
                existing.remove(force=True, v=True)
            launch(self.name_of(name), self.network, recipe, self.state.labels)
        self._after_start(name)

    def _after_start(self, name: str) -> None:
        # nginx asks for the proxy's address once; a new container may have another one.
        if name == "faultproxy" and self.is_running("edge"):
            self.signal("edge", "SIGHUP")

    def stop(self, name: str) -> None:
        container = self.container(name)
        if container is None or container.status not in _RUNNING:
            return
        self._ending(name).touch(mode=0o600)
        with _told(f"{name} could not be stopped."):
            if container.status == "paused":
                container.unpause()
            container.stop(timeout=self.book.recipe(name).grace_s)
        self._await_end(name)

    def kill(self, name: str) -> None:
        container = self.container(name)
        if container is None or container.status not in _RUNNING:
            raise EngineError(f"{name} is not running.", actual=self.ended(name))
        self._ending(name).touch(mode=0o600)
        with _told(f"{name} could not be killed."):
            container.kill("SIGKILL")
        self._await_end(name)

    def settle(self, name: str) -> None:
        """Wait until a stop or kill that is under way is over; whoever asked for it may be dead."""
        if self._ending(name).exists():
            self._await_end(name)

    def freeze(self, name: str) -> None:
        container = self._there(name)
        if container.status != "paused":
            with _told(f"{name} could not be paused."):
                container.pause()

    def thaw(self, name: str) -> None:
        container = self._there(name)
        if container.status == "paused":
            with _told(f"{name} could not be resumed."):
                container.unpause()

    def signal(self, name: str, which: str) -> None:
        """Send a signal to the part's own process."""
        with _told(f"{name} took no {which}."):
            self._there(name).kill(which)

    def wipe(self, name: str) -> None:
        """Kill the part, and have its volume replaced by an empty one."""
        if self.is_running(name):
            self.kill(name)
        if not self.book.images[name].data:
            return
        # An engine removes no volume that a container uses, be it down or reading only.
        readers = [each for each in _READERS.get(name, ()) if self.is_running(each)]
        for each in (name, *_READERS.get(name, ())):
            self._remove_container(each)
        place = self.book.storage(name)
        if place.startswith("/"):
            procfs.remove_tree(place)
        else:
            with _told(f"The volume of {name} could not be removed."):
                self.client.api.remove_volume(place, force=True)
        self.make_volume(name)
        for each in readers:
            self.prepare(each)
            self.start(each)

    def _remove_container(self, name: str) -> None:
        container = self.container(name)
        if container is not None:
            self.await_log(container)
            with _told(f"{name} could not be removed."):
                container.remove(force=True, v=True)

    # --- looking ------------------------------------------------------------------------------

    @property
    def network(self) -> str:
        """The name of the run's network."""
        return f"ragdrill-{self.state.run_id}"

    def container(self, name: str) -> docker.models.containers.Container | None:
        """The part's container as it is now, if there is one."""
        try:
            return self.client.containers.get(self.name_of(name))
        except docker.errors.NotFound:
            return None
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise EngineError("The container engine does not answer.", actual=str(error)) from error

    def _there(self, name: str) -> docker.models.containers.Container:
        container = self.container(name)
        if container is None or container.status not in _RUNNING:
            raise EngineError(f"{name} is not running.", actual=self.ended(name))
        return container

    def is_running(self, name: str) -> bool:
        return self.ended(name) is None

    def ended(self, name: str) -> str | None:
        """Why the part does not run; None while it does."""
        container = self.container(name)
        if container is None:
            return "it was never started"
        if container.status in _RUNNING:
            return None
        state = container.attrs["State"]
        return f"it ended with status {state['ExitCode']}" + (
            f" ({state['Error']})" if state.get("Error") else ""
        )

    def exit_status(self, name: str) -> int | None:
        """How it ended (negative: by that signal); None while it runs or was never started."""
        container = self.container(name)
        if container is None or container.status in _RUNNING:
            return None
        code = int(container.attrs["State"]["ExitCode"])
        # An engine tells a death by signal as a shell does.
        return 128 - code if code > 128 else code

    def pids(self, name: str) -> tuple[int, ...]:
        """The living processes, the part's own first; none while it is down."""
        container = self.container(name)
        if container is None or container.status not in _RUNNING:
            return ()
        own = int(container.attrs["State"]["Pid"])
        try:
            rows = container.top(ps_args="-eo pid")["Processes"] or []
        except docker.errors.APIError:
            return ()
        found = sorted((int(row[0]) for row in rows), key=lambda pid: (pid != own, pid))
        return tuple(pid for pid in found if procfs.is_alive(pid))

    def edge_workers(self) -> dict[int, int]:
        """nginx's workers, pid to start time."""
        rows = (procfs.read_process(pid) for pid in self.pids("edge")[1:])
        return {row.pid: row.start for row in rows if row is not None}

    def switch_edge(self, colour: str) -> None:
        write_configuration(self.book, "edge", colour)
        self.signal("edge", "SIGHUP")

    def own_probe(self, name: str) -> Callable[[], str | None] | None:
        """An adapted gateway is asked through its adapter, an image of others where it answers."""
        role, url = role_of(name), f"http://{HOST}:{self.port(name)}"
        if self.state.adapter and role in ("gateway", "edge"):
            api = load_api(self.state.adapter)
            return lambda: adapted.problem(url, api, PROBE_S) or None
        image = self.book.images[name]
        if image.source != "local" and image.health and role in _ASKED_BY_IMAGE:
            return over_http(url + image.health)
        return None

    def last_words(self, name: str) -> str:
        container = self.container(name)
        if container is None:
            return "(it has no log)"
        with contextlib.suppress(docker.errors.APIError):
            text: bytes = container.logs(tail=12)
            return text.decode("utf-8", "replace").strip()[-3000:] or "(it ended without a word)"
        return "(its log can't be read)"

    def said(self, name: str, command: list[str]) -> str:
        """What a command inside the part writes; empty where it can't be run."""
        try:
            done = self._there(name).exec_run(command)
        except (TargetError, docker.errors.APIError):
            return ""
        output: Any = done.output
        return bytes(output or b"").decode("utf-8", "replace")

    # --- waiting ------------------------------------------------------------------------------

    def _ending(self, name: str) -> Path:
        """There while somebody ends the part, so that others can wait for that."""
        place = self.scratch / "ending"
        with contextlib.suppress(FileNotFoundError):
            place.mkdir(mode=0o700, exist_ok=True)
        return place / name

    def _await_end(self, name: str) -> None:
        deadline = time.monotonic() + GONE_S
        while self.is_running(name):
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{name} was told to end and did not.",
                    expected=f"an end within {GONE_S:.0f} s",
                    actual="it runs",
                )
            time.sleep(_LOOK_S)
        self._ending(name).unlink(missing_ok=True)

    def await_log(
        self, container: docker.models.containers.Container, limit_s: float = WRITTEN_S
    ) -> None:
        """A removed container's log is gone with it, so what it wrote last is followed first."""
        await_written(container, self.scratch / POSITIONS, limit_s)


class _told(contextlib.AbstractContextManager[None]):
    """Turns what the engine says into an error that names the part."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, (docker.errors.DockerException, requests.RequestException)):
            raise EngineError(self.what, actual=str(error)) from error
