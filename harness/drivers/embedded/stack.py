"""The embedded target: a whole stack of local processes, with every capability of the contract."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.core.errors import HarnessError, TargetError, UsageError
from harness.core.run import Run
from harness.core.target import TargetFile
from harness.drivers.base import Component, Credentials, Endpoint, Link
from harness.drivers.embedded.boot import READY_S, Progress
from harness.drivers.embedded.bringup import (
    ALLOW,
    BootOptions,
    bring_up,
    check_configurable,
    end_all,
    lines,
    make_directories,
    silent,
)
from harness.drivers.embedded.components import components
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.links import links, populate
from harness.drivers.embedded.ports import HOST, is_free
from harness.drivers.embedded.processes import Processes
from harness.drivers.embedded.readiness import wait_ready
from harness.drivers.embedded.rollout import roll
from harness.drivers.embedded.state import STATE_NAME, Secrets, State
from harness.drivers.embedded.sweep import sweep
from harness.drivers.embedded.vault import credentials

# Where the data lies inside a role's directory; elsewhere the whole directory is data.
_DATA = {"metadata": "data", "objectstore": "data", "metrics": "data", "alerts": "data"}


class EmbeddedStack:
    """A stack of local processes, booted by one process of a run and attached to by others."""

    def __init__(
        self,
        keeper: KeeperClient,
        *,
        name: str,
        allow: frozenset[str],
        boot: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self._keeper = keeper
        self._boot = boot
        self.run_id = keeper.run_id
        self.scratch = keeper.scratch
        self.name = name
        self.allow = allow
        self.boot_seconds: dict[str, float] = {}

    @classmethod
    def for_run(
        cls, run: Run, target: TargetFile, progress: Callable[[str], None]
    ) -> EmbeddedStack:
        """A stack that ``up()`` boots; UsageError for a target file that has roles."""
        if target.roles or target.control:
            raise UsageError(
                "The embedded driver boots every role itself.",
                expected="a target file without [roles] and [control]",
                actual=", ".join([*target.roles, *target.control]),
                next_step='remove them, or use driver = "attach" for a stack that runs already',
            )
        allowed = target.target.allow
        return cls.planned(
            run.run_id,
            run.scratch.parent,
            run.directory / "logs",
            BootOptions(
                time_scale=run.time_scale,
                name=target.target.name,
                allow=ALLOW if allowed is None else frozenset(allowed),
            ),
            lines(progress),
        )

    @classmethod
    def planned(
        cls,
        run_id: str,
        scratch_root: Path,
        log_dir: Path,
        options: BootOptions | None = None,
        progress: Progress = silent,
        keeper: KeeperClient | None = None,
    ) -> EmbeddedStack:
        """A stack that ``up()`` boots; see ``boot`` for the arguments."""
        chosen = options or BootOptions()
        scratch, logs = scratch_root.absolute() / run_id, log_dir.absolute()
        client = keeper or KeeperClient(run_id, scratch)

        def boot() -> dict[str, float]:
            make_directories(scratch, logs)
            sweep(scratch.parent)
            if keeper is None:
                client.launch(logs)
            try:
                return bring_up(client, scratch, logs, chosen, progress)
            except BaseException:
                with contextlib.suppress(HarnessError):
                    client.shutdown() if keeper is None else end_all(client)
                raise

        return cls(client, name=chosen.name, allow=chosen.allow, boot=boot)

    @classmethod
    def boot(
        cls,
        run_id: str,
        scratch_root: Path,
        log_dir: Path,
        options: BootOptions | None = None,
        progress: Progress = silent,
        keeper: KeeperClient | None = None,
    ) -> EmbeddedStack:
        """Boot a stack; it ends with the process that launched its keeper.

        Without ``keeper`` one is launched here. ``scratch_root`` holds the scratch directories of
        all runs; what dead runs left there is removed. Raises TargetError, with nothing left
        running, when a part is missing or does not become ready.
        """
        stack = cls.planned(run_id, scratch_root, log_dir, options, progress, keeper)
        stack.up()
        return stack

    @classmethod
    def attach(cls, state_file: Path) -> EmbeddedStack:
        """The stack that another process of the run booted; raises TargetError if it is gone."""
        state = State.load(state_file)
        keeper = KeeperClient(state.run_id, Path(state.scratch))
        stack = cls(keeper, name=state.name, allow=frozenset(state.allow))
        stack.up()
        return stack

    def up(self) -> None:
        """Boot, once; from then on check that the stack is still there."""
        if self._boot is None:
            self._keeper.call("status")
            return
        self.boot_seconds = self._boot()
        self._boot = None

    def down(self) -> None:
        """End every process of the run, its keeper last; safe to call twice."""
        self._keeper.shutdown()

    # --- what it is ---------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Read anew each time, since another process may have rolled the gateway over."""
        return State.load(self.scratch / STATE_NAME)

    @property
    def processes(self) -> Processes:
        """The processes as they are now; for control below the level of roles."""
        return Processes(self._keeper, self.state, Secrets.load(self.scratch))

    @property
    def keeper(self) -> KeeperClient:
        """For a case that needs a process of its own that must not outlive the run."""
        return self._keeper

    def roles(self) -> tuple[str, ...]:
        return tuple(self.state.roles)

    @property
    def missing(self) -> tuple[str, ...]:
        """One sentence for each role that this machine cannot boot."""
        return tuple(f"There is no {role}: {why}" for role, why in self.state.absent.items())

    def endpoint(self, role: str) -> Endpoint:
        """The direct address; that of ``edge`` is where users send requests."""
        state = self.state
        port = state.ports[_process(state, role)]
        scheme = "postgresql" if role == "metadata" else "http"
        return Endpoint(role, f"{scheme}://{HOST}:{port}", HOST, port)

    def credentials(self, role: str) -> Credentials:
        """By role: vectordb api_key, read_only_api_key; metadata admin_dsn, owner_dsn and more;
        objectstore access_key, secret_key, bucket; auth service_key, jwt_keys; embed, rerank and
        fallback api_key. A role without secrets has an empty mapping.
        """
        processes = self.processes
        _process(processes.state, role)
        return credentials(processes, role)

    def links(self) -> tuple[Link, ...]:
        state = self.state
        return links(state.ports, state.absent)

    def faultproxy(self) -> str:
        return self.endpoint("faultproxy").url

    def components(self) -> tuple[Component, ...]:
        return components(self.processes)

    def ready(self, role: str, timeout_s: float = 30.0) -> None:
        wait_ready(self.processes, _process(self.state, role), timeout_s)

    def log_files(self, role: str) -> tuple[Path, ...]:
        """One file per process; those of the gateway are ``blue`` and ``green``."""
        state = self.state
        _process(state, role)
        names = ("gateway-blue", "gateway-green") if role == "gateway" else (role,)
        paths = (Path(state.log_dir) / f"{name}.log" for name in names)
        return tuple(path for path in paths if path.exists())

    def logs(self, role: str, tail: int | None = None) -> str:
        texts = (path.read_text(errors="replace") for path in self.log_files(role))
        lines = "".join(texts).splitlines(keepends=True)
        return "".join(lines if tail is None else lines[max(0, len(lines) - tail) :])

    # --- control ------------------------------------------------------------------------------

    def start(self, role: str) -> None:
        """Start the role with its data and wait until it is ready; a lost disk is made anew."""
        processes = self.processes
        name = _process(processes.state, role)
        processes.prepare(name)
        processes.start(name)
        if role == "faultproxy":
            wait_ready(processes, name, READY_S)
            populate(self.faultproxy(), self.links())
        elif role == "edge":
            self._edge_listens()
        else:
            wait_ready(processes, name, READY_S)

    def _edge_listens(self) -> None:
        # Its own readiness would need a gateway, which may be down on purpose.
        deadline = time.monotonic() + 10.0
        while is_free(self.endpoint("edge").port):
            if time.monotonic() > deadline or not self._keeper.is_running("edge"):
                raise TargetError(
                    "The edge did not start to listen.",
                    actual=self.logs("edge", tail=10),
                    next_step=f"read {self.processes.log('edge')}",
                )
            time.sleep(0.01)

    def stop(self, role: str) -> None:
        """End the role in its own orderly way; it stays down until ``start``."""
        self.processes.stop(_process(self.state, role))

    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        """Stop and start; ``env`` is added to its settings from now on. Requests fail meanwhile."""
        processes = self.processes
        name = _process(processes.state, role)
        if env:
            check_configurable(name)
            overrides = processes.secrets.overrides
            overrides[name] = {**overrides.get(name, {}), **env}
            processes.secrets.save(self.scratch)
        if self._keeper.is_running(name):
            processes.stop(name)
        self.start(role)

    def kill(self, role: str) -> None:
        self._keeper.kill(_process(self.state, role))

    def pause(self, role: str) -> None:
        self._keeper.signal(_process(self.state, role), signal.SIGSTOP)

    def resume(self, role: str) -> None:
        self._keeper.signal(_process(self.state, role), signal.SIGCONT)

    def pids(self, role: str) -> tuple[int, ...]:
        return tuple(self._keeper.tree(_process(self.state, role)))

    def settle(self, role: str) -> None:
        """Wait until a stop or kill of the role that somebody else began is over."""
        self._keeper.settle(_process(self.state, role))

    def exit_status(self, role: str) -> int | None:
        described = self._keeper.services().get(_process(self.state, role), {})
        status: int | None = described.get("exit_code")
        return status

    def replace(self, role: str, env: Mapping[str, str]) -> None:
        """Roll the gateway to changed settings with no failed request; other roles cannot."""
        self._only_gateway(role, "replaced")
        roll(self.processes, env)

    def rollback(self, role: str) -> None:
        """Roll the gateway back to its settings before the last ``replace``."""
        self._only_gateway(role, "rolled back")
        processes = self.processes
        previous = processes.secrets.previous
        if previous is None:
            raise TargetError(
                "There is nothing to roll back to.",
                expected="a replace() before",
                actual="none in this run",
            )
        roll(processes, previous, back=True)

    @staticmethod
    def _only_gateway(role: str, what: str) -> None:
        if role != "gateway":
            raise TargetError(
                f"{role} cannot be {what} without a failed request.",
                expected="gateway, which has two colours",
                actual=role,
                next_step="restart(role, env) changes the settings of any role",
            )

    def volume(self, role: str) -> Path:
        """The directory with the role's data."""
        _process(self.state, role)
        return self.scratch / role / _DATA.get(role, "")

    @property
    def archive_dir(self) -> Path:
        """Where the metadata store copies each finished segment of its write-ahead log."""
        return self.processes.cluster.archive

    def wipe(self, role: str) -> None:
        """Kill the role and delete all its data, its local archive and snapshots included."""
        name = _process(self.state, role)
        if self._keeper.is_running(name):
            self._keeper.kill(name)
        directory = self.scratch / role
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(mode=0o700)


def _process(state: State, role: str) -> str:
    """The process that fills a role now."""
    if role in state.absent:
        raise TargetError(
            f"This machine has no {role}.", expected=f"the role {role}", actual=state.absent[role]
        )
    if role not in state.roles:
        raise TargetError(
            f"The embedded stack has no role {role!r}.",
            expected=", ".join(state.roles),
            actual=role,
        )
    return f"gateway-{state.colour}" if role == "gateway" else role
