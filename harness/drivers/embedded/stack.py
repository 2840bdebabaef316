"""The embedded target: a whole stack of local processes, with every capability of the contract."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import HarnessError, UsageError
from harness.core.run import Run
from harness.core.target import TargetFile
from harness.drivers.base import Component
from harness.drivers.embedded.boot import Progress
from harness.drivers.embedded.bringup import (
    ALLOW,
    BootOptions,
    bring_up,
    end_all,
    lines,
    make_directories,
    silent,
)
from harness.drivers.embedded.components import components
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.processes import Processes
from harness.drivers.embedded.state import Secrets, State
from harness.drivers.embedded.sweep import sweep
from harness.drivers.reference import ReferenceStack, part_of

# Where the data lies inside a role's directory; elsewhere the whole directory is data.
_DATA = {"metadata": "data", "objectstore": "data", "metrics": "data", "alerts": "data"}


class EmbeddedStack(ReferenceStack):
    """A stack of local processes, booted by one process of a run and attached to by others."""

    def __init__(
        self,
        keeper: KeeperClient,
        *,
        name: str,
        allow: frozenset[str],
        boot: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        super().__init__(keeper.run_id, keeper.scratch, name=name, allow=allow, boot=boot)
        self._keeper = keeper

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

    def still_there(self) -> None:
        """Raise KeeperError where the run that booted this has ended."""
        self._keeper.call("status")

    def down(self) -> None:
        """End every process of the run, its keeper last; safe to call twice."""
        self._keeper.shutdown()

    @property
    def processes(self) -> Processes:
        """The processes as they are now; for control below the level of roles."""
        return Processes(self._keeper, self.state, Secrets.load(self.scratch))

    @property
    def parts(self) -> Parts:
        return self.processes

    @property
    def keeper(self) -> KeeperClient:
        """For a case that needs a process of its own that must not outlive the run."""
        return self._keeper

    def log_place(self, name: str) -> Path:
        """Where the log of a process of a case's own belongs."""
        return self.processes.log(name)

    def components(self) -> tuple[Component, ...]:
        return components(self.processes)

    def pids(self, role: str) -> tuple[int, ...]:
        return tuple(self._keeper.tree(part_of(self.state, role)))

    def settle(self, role: str) -> None:
        """Wait until a stop or kill of the role that somebody else began is over."""
        self._keeper.settle(part_of(self.state, role))

    def exit_status(self, role: str) -> int | None:
        described = self._keeper.services().get(part_of(self.state, role), {})
        status: int | None = described.get("exit_code")
        return status

    def volume(self, role: str) -> Path:
        """The directory with the role's data."""
        part_of(self.state, role)
        return self.scratch / role / _DATA.get(role, "")

    @property
    def archive_dir(self) -> Path:
        """Where the metadata store copies each finished segment of its write-ahead log."""
        return self.processes.cluster.archive
