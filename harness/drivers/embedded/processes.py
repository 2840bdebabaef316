"""The processes of one stack: how each is started, and what it needs on disk before."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import TargetError
from harness.drivers.embedded import postgres, procfs
from harness.drivers.embedded.environment import python_module, service_environment
from harness.drivers.embedded.keeper_client import KeeperClient, last_words
from harness.drivers.embedded.links import EDGES, links, populate, proxy_port_name
from harness.drivers.embedded.metrics import Alerts, Metrics
from harness.drivers.embedded.nginx import Edge
from harness.drivers.embedded.places import Binary, system_bin, toxiproxy_bin
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.postgres import ADMIN, Cluster
from harness.drivers.embedded.seaweed import BUCKET, ObjectStore
from harness.drivers.embedded.seaweed import PORTS as OBJECTSTORE_PORTS
from harness.drivers.embedded.services import KEY_REGISTER, OURS, Context, key_register, migration
from harness.drivers.embedded.state import Secrets, State, write_private

PORT_NAMES = (
    *OURS,
    *("metadata", "edge", "metrics", "alerts"),
    *OBJECTSTORE_PORTS,
    *(proxy_port_name(edge.name) for edge in EDGES),
)
_STEP_S = 60.0


@dataclass(frozen=True)
class Spec:
    """How to start one process; ``grace_s`` is what an orderly stop may take."""

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: int = signal.SIGTERM
    grace_s: float = 5.0
    map_user: int | None = None
    leftovers: tuple[str, ...] = ()


class Processes:
    """Starts and prepares the processes of the stack that ``state`` and ``secrets`` describe."""

    def __init__(self, keeper: KeeperClient, state: State, secrets: Secrets) -> None:
        self.keeper = keeper
        self.state = state
        self.secrets = secrets
        self.scratch = Path(state.scratch)
        self.cluster = Cluster(self.scratch / "metadata", state.ports["metadata"])
        self.objectstore = ObjectStore(self.scratch / "objectstore", state.ports)
        self.edge = Edge(self.scratch / "edge", state.ports["edge"])
        self.context = Context(
            self.scratch, state.ports, secrets.values, self.cluster, Path(state.log_dir)
        )

    def directory(self, name: str) -> Path:
        """The home, working and temporary directory of a process."""
        path = self.scratch / name
        # Without its parents: a step that comes too late must not bring a finished run back.
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        return Path(self.state.log_dir) / f"{name}.log"

    def port(self, name: str) -> int:
        return self.state.ports[name]

    # --- preparing ----------------------------------------------------------------------------

    def prepare(self, name: str) -> None:
        """Write what the process needs on disk; keeps data that is there. Raises TargetError."""
        values = self.secrets.values
        self.directory(name)
        if name == "metadata":
            if not (self.cluster.data / "PG_VERSION").exists():
                self._new_cluster()
        elif name == "objectstore":
            self.objectstore.prepare(
                values["objectstore_access_key"],
                values["objectstore_secret_key"],
                values["objectstore_admin_password"],
            )
        elif name == "edge":
            self.edge.write(self.port(proxy_port_name(f"edge-{self.state.colour}")))
        elif name == "metrics":
            Metrics(
                self.directory("metrics"),
                self.state.ports,
                self.state.time_scale,
                alerts="alerts" not in self.state.absent,
            ).write(values["vectordb_read_only_api_key"])
        elif name == "alerts":
            self._alerts().write()
        elif name == "exporter":
            register = self.directory(name) / KEY_REGISTER
            if not register.exists():
                write_private(register, key_register(time.time()))

    def _new_cluster(self) -> None:
        postgres.check_can_run()
        self.cluster.prepare()
        values = self.secrets.values
        script = self.scratch / "metadata" / "passwords.sql"
        write_private(script, postgres.password_script(values[f"{ADMIN}_password"]))
        self.keeper.start(
            "metadata-passwords",
            self.cluster.single_user(),
            env=service_environment(self.directory("metadata"), {}),
            cwd=self.directory("metadata"),
            log=self.log("metadata"),
            map_user=postgres.map_user(),
            stdin=script,
        )
        self.keeper.finish("metadata-passwords", _STEP_S)
        script.unlink()

    def _alerts(self) -> Alerts:
        return Alerts(self.directory("alerts"), self.state.ports, self.state.time_scale)

    def migrate(self) -> None:
        """Run the deployment job; raises KeeperError with its last words when it fails."""
        migrate(self.keeper, self.directory("migrate"), self.log("migrate"), self.context)

    def connect(self) -> None:
        """Have the fault proxy make a proxy for each link."""
        control = f"http://{HOST}:{self.port('faultproxy')}"
        populate(control, links(self.state.ports, self.state.absent))

    # --- starting -----------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one process with the settings in force; KeeperError where it runs already."""
        spec = self.spec(name)
        directory = self.directory(name)
        self.keeper.start(
            name,
            spec.argv,
            env=service_environment(directory, spec.env),
            cwd=spec.cwd or directory,
            log=self.log(name),
            stop_signal=spec.stop_signal,
            map_user=spec.map_user,
            leftovers=spec.leftovers,
        )

    def _archive_settings(self) -> dict[str, str]:
        """What the metadata store's archive_command needs to reach the bucket."""
        return {
            "S3_ENDPOINT_URL": self.context.link("metadata-objectstore"),
            "AWS_ACCESS_KEY_ID": self.secrets.values["objectstore_access_key"],
            "AWS_SECRET_ACCESS_KEY": self.secrets.values["objectstore_secret_key"],
            "BACKUP_BUCKET": BUCKET,
        }

    def stop(self, name: str) -> None:
        self.keeper.stop(name, self.spec(name).grace_s)

    def kill(self, name: str) -> None:
        self.keeper.kill(name)

    def freeze(self, name: str) -> None:
        self.keeper.signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.keeper.signal(name, signal.SIGCONT)

    def wipe(self, name: str) -> None:
        """Kill the process and delete its directory, whatever lies there."""
        if self.keeper.is_running(name):
            self.keeper.kill(name)
        directory = self.scratch / name
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(mode=0o700)

    # --- looking ------------------------------------------------------------------------------

    def is_running(self, name: str) -> bool:
        return self.keeper.is_running(name)

    def ended(self, name: str) -> str | None:
        """Why the process does not run; None while it does."""
        described = self.keeper.services().get(name)
        if described is None:
            return "it was never started"
        return None if described["running"] else f"it ended with status {described['exit_code']}"

    def own_probe(self, name: str) -> None:
        """None: every process is asked in the reference stack's way."""

    def last_words(self, name: str) -> str:
        described = self.keeper.services().get(name)
        return "(it has no log)" if described is None else last_words(described)

    def edge_workers(self) -> dict[int, int]:
        """nginx's workers, pid to start time."""
        master = self.keeper.services()["edge"]["pid"]
        rows = (procfs.read_process(pid) for pid in self.keeper.tree("edge") if pid != master)
        return {row.pid: row.start for row in rows if row is not None}

    def switch_edge(self, colour: str) -> None:
        self.edge.write(self.port(proxy_port_name(f"edge-{colour}")))
        self.keeper.signal("edge", signal.SIGHUP, tree=False)

    # --- how ----------------------------------------------------------------------------------

    def spec(self, name: str) -> Spec:
        """How the process is started; raises TargetError for a program that is not installed."""
        if name == "faultproxy" and self.state.real_toxiproxy:
            server = toxiproxy_bin()
            if server is not None:
                return Spec([str(server), "-host", HOST, "-port", str(self.port("faultproxy"))])
        if name in OURS:
            service = OURS[name]
            settings = {**service.settings(self.context), **self.secrets.overrides.get(name, {})}
            arguments = ("--host", HOST, "--port", str(self.port(name)))
            return Spec(python_module(service.module, *arguments), settings)
        if name == "metadata":
            return Spec(
                self.cluster.command(),
                env=self._archive_settings(),
                stop_signal=postgres.STOP_SIGNAL,
                grace_s=30.0,
                map_user=postgres.map_user(),
            )
        if name == "objectstore":
            return Spec(
                self.objectstore.command(),
                self.objectstore.variables(self.secrets.values["objectstore_internal_key"]),
                # It ends in a second, or not before 30: it may wait for a volume it just deleted.
                grace_s=3.0,
                leftovers=tuple(self.objectstore.leftovers()),
            )
        if name == "edge":
            return Spec(self.edge.command(), stop_signal=signal.SIGQUIT, grace_s=10.0)
        if name == "metrics":
            directory = self.directory("metrics")
            metrics = Metrics(directory, self.state.ports, self.state.time_scale, alerts=True)
            return Spec(metrics.command(_found("prometheus")))
        if name == "alerts":
            binary = _found("alertmanager")
            alerts = self._alerts()
            return Spec(alerts.command(binary), alerts.variables(), cwd=binary.cwd)
        raise TargetError(
            f"There is no process named {name!r}.", expected=", ".join(PORT_NAMES), actual=name
        )


def migrate(keeper: KeeperClient, directory: Path, log: Path, context: Context) -> None:
    """Run the deployment job in ``directory``; raises KeeperError with its last words."""
    keeper.start(
        "migrate",
        python_module("refstack.gateway.migrate"),
        env=service_environment(directory, migration(context)),
        cwd=directory,
        log=log,
    )
    keeper.finish("migrate", _STEP_S)


def _found(program: str) -> Binary:
    binary = system_bin(program)
    if binary is None:
        raise TargetError(
            f"{program} is not installed.",
            expected="it on PATH, or unpacked in the cache",
            actual="neither",
            next_step="python scripts/setup_system.py",
        )
    return binary
