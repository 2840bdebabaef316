"""What every booted reference stack is and can do, whatever its parts run as."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from harness.core.errors import TargetError
from harness.drivers.base import Component, Credentials, Endpoint, Link
from harness.drivers.embedded.boot import READY_S
from harness.drivers.embedded.bringup import check_configurable
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.links import links
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.ports import HOST, is_free
from harness.drivers.embedded.readiness import wait_ready
from harness.drivers.embedded.rollout import roll
from harness.drivers.embedded.state import STATE_NAME, State
from harness.drivers.embedded.vault import credentials


class ReferenceStack:
    """A stack booted by one process of a run and attached to by others.

    A driver says what its parts are; the roles, their addresses, control and rollout follow.
    """

    state_kind: ClassVar[type[State]] = State

    def __init__(
        self,
        run_id: str,
        scratch: Path,
        *,
        name: str,
        allow: frozenset[str],
        boot: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self._boot = boot
        self.run_id = run_id
        self.scratch = scratch
        self.name = name
        self.allow = allow
        self.boot_seconds: dict[str, float] = {}
        self.outlives = False
        """Set before ``up()`` for a stack that is to be left running by ``detach()``."""

    @property
    def parts(self) -> Parts:
        """The parts as they are now."""
        raise NotImplementedError

    @property
    def keeper(self) -> KeeperClient:
        """For a case that needs a process of its own that must not outlive the run."""
        raise NotImplementedError

    def still_there(self) -> None:
        """Raise TargetError where the run that booted this has ended."""
        raise NotImplementedError

    def components(self) -> tuple[Component, ...]:
        """Software and version of each role, as the running parts report them."""
        raise NotImplementedError

    def down(self) -> None:
        """End everything of the run; safe to call twice."""
        raise NotImplementedError

    def detach(self) -> None:
        """Let the stack outlive this process, until ``down()``."""
        self.keeper.detach()

    def up(self) -> None:
        """Boot, once; from then on check that the stack is still there."""
        if self._boot is None:
            self.still_there()
            return
        self.boot_seconds = self._boot()
        self._boot = None

    # --- what it is ---------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Read anew each time, since another process may have rolled the gateway over."""
        return self.state_kind.load(self.scratch / STATE_NAME)

    def roles(self) -> tuple[str, ...]:
        return tuple(self.state.roles)

    @property
    def missing(self) -> tuple[str, ...]:
        """One sentence for each role that this machine cannot boot."""
        return tuple(f"There is no {role}: {why}" for role, why in self.state.absent.items())

    def endpoint(self, role: str) -> Endpoint:
        """The direct address; that of ``edge`` is where users send requests."""
        state = self.state
        port = state.ports[part_of(state, role)]
        scheme = "postgresql" if role == "metadata" else "http"
        return Endpoint(role, f"{scheme}://{HOST}:{port}", HOST, port)

    def credentials(self, role: str) -> Credentials:
        """By role: vectordb api_key, read_only_api_key; metadata admin_dsn, owner_dsn and more;
        objectstore access_key, secret_key, bucket; auth service_key, jwt_keys; embed, rerank and
        fallback api_key. A role without secrets has an empty mapping.
        """
        parts = self.parts
        part_of(parts.state, role)
        return credentials(parts, role)

    def links(self) -> tuple[Link, ...]:
        state = self.state
        return links(state.ports, state.absent)

    def faultproxy(self) -> str:
        return self.endpoint("faultproxy").url

    def ready(self, role: str, timeout_s: float = 30.0) -> None:
        wait_ready(self.parts, part_of(self.state, role), timeout_s)

    def log_files(self, role: str) -> tuple[Path, ...]:
        """One file per part; those of the gateway are ``blue`` and ``green``."""
        state = self.state
        part_of(state, role)
        two = state.filled_by(role) == "gateway"
        names = ("gateway-blue", "gateway-green") if two else (role,)
        paths = (Path(state.log_dir) / f"{name}.log" for name in names)
        return tuple(path for path in paths if path.exists())

    @property
    def shipped_logs(self) -> Path:
        """The directory that the log shipper follows; NotAllowed where it is hidden."""
        return Path(self.state.log_dir)

    def logs(self, role: str, tail: int | None = None) -> str:
        texts = (path.read_text(errors="replace") for path in self.log_files(role))
        lines = "".join(texts).splitlines(keepends=True)
        return "".join(lines if tail is None else lines[max(0, len(lines) - tail) :])

    # --- control ------------------------------------------------------------------------------

    def start(self, role: str) -> None:
        """Start the role with its data and wait until it is ready; a lost disk is made anew."""
        parts = self.parts
        name = part_of(parts.state, role)
        parts.prepare(name)
        parts.start(name)
        if role == "faultproxy":
            wait_ready(parts, name, READY_S)
            parts.connect()
        elif name == "edge":
            self._edge_listens(parts)
        else:
            wait_ready(parts, name, READY_S)

    def _edge_listens(self, parts: Parts) -> None:
        # Its own readiness would need a gateway, which may be down on purpose.
        deadline = time.monotonic() + 10.0
        while is_free(parts.port("edge")):
            if time.monotonic() > deadline or not parts.is_running("edge"):
                raise TargetError(
                    "The edge did not start to listen.",
                    actual=self.logs("edge", tail=10),
                    next_step=f"read {parts.log('edge')}",
                )
            time.sleep(0.01)

    def stop(self, role: str) -> None:
        """End the role in its own orderly way; it stays down until ``start``."""
        self.parts.stop(part_of(self.state, role))

    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        """Stop and start; ``env`` is added to its settings from now on. Requests fail meanwhile."""
        parts = self.parts
        name = part_of(parts.state, role)
        if env:
            check_configurable(name)
            overrides = parts.secrets.overrides
            overrides[name] = {**overrides.get(name, {}), **env}
            parts.secrets.save(self.scratch)
        if parts.is_running(name):
            parts.stop(name)
        self.start(role)

    def kill(self, role: str) -> None:
        self.parts.kill(part_of(self.state, role))

    def pause(self, role: str) -> None:
        self.parts.freeze(part_of(self.state, role))

    def resume(self, role: str) -> None:
        self.parts.thaw(part_of(self.state, role))

    def replace(self, role: str, env: Mapping[str, str]) -> None:
        """Roll the gateway to changed settings with no failed request; other roles cannot."""
        self._only_gateway(role, "replaced")
        roll(self.parts, env)

    def rollback(self, role: str) -> None:
        """Roll the gateway back to its settings before the last ``replace``."""
        self._only_gateway(role, "rolled back")
        parts = self.parts
        previous = parts.secrets.previous
        if previous is None:
            raise TargetError(
                "There is nothing to roll back to.",
                expected="a replace() before",
                actual="none in this run",
            )
        roll(parts, previous, back=True)

    @staticmethod
    def _only_gateway(role: str, what: str) -> None:
        if role != "gateway":
            raise TargetError(
                f"{role} cannot be {what} without a failed request.",
                expected="gateway, which has two colours",
                actual=role,
                next_step="restart(role, env) changes the settings of any role",
            )

    def wipe(self, role: str) -> None:
        """Kill the role and delete all its data, its local archive and snapshots included."""
        self.parts.wipe(part_of(self.state, role))


def part_of(state: State, role: str) -> str:
    """The part that fills a role now.

    Raises:
        TargetError: this machine has no such role, or there is none.
    """
    role = state.filled_by(role)
    if role in state.absent:
        raise TargetError(
            f"This machine has no {role}.", expected=f"the role {role}", actual=state.absent[role]
        )
    if role not in state.roles:
        raise TargetError(
            f"The stack has no role {role!r}.", expected=", ".join(state.roles), actual=role
        )
    return f"gateway-{state.colour}" if role == "gateway" else role
