"""How each driver's stack is made for the contract tests, and what may be left of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import subprocess
import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any

from embedded_lab import ROOT, marked

from harness.core.errors import HarnessError
from harness.core.target import TargetFile, load_target
from harness.drivers.attach import attached
from harness.drivers.base import Stack
from harness.drivers.embedded.bringup import ALLOW, BootOptions
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.operator import STATE_NAME

OWNER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import contract_labs
lab = contract_labs.LABS[sys.argv[1]]()
stack = lab.boot(sys.argv[2], Path(sys.argv[3]))
print("up", flush=True)
sys.stdin.read()
stack.down()
"""


class Lab:
    """One driver in a test: ``place`` holds scratch directories and logs of all its stacks."""

    name: str
    boots = True
    """Whether the driver starts what it is attached to."""

    def unavailable(self) -> str:
        """Why the driver can't run here; empty where it can."""
        return ""

    @abstractmethod
    def boot(self, run_id: str, place: Path, allow: frozenset[str] = ALLOW) -> Any: ...

    @abstractmethod
    def attach(self, stack: Stack) -> Stack:
        """The same stack as another process of the run sees it."""

    def left(self, run_id: str, place: Path) -> list[str]:
        """What there is of a run."""
        found = [f"process {pid}" for pid in marked(run_id)]
        scratch = place / "ragdrill" / run_id
        return found + ([f"directory {scratch}"] if scratch.exists() else [])

    @abstractmethod
    def sweep(self, place: Path) -> None:
        """What a later run does about dead ones."""

    def migrate(self, stack: Any) -> None:
        """Have the deployment job run, as after a lost store."""
        stack.parts.migrate()

    def inside(self, stack: Any, part: str) -> str:
        """``host:port`` of a part, past every fault proxy, as the other parts reach it."""
        return str(stack.processes.context.address(part))

    def through(self, stack: Any, link: str) -> str:
        """``host:port`` of a link's proxy, as the other parts reach it."""
        return str(stack.processes.context.link_address(link))

    def owner(self, run_id: str, place: Path) -> subprocess.Popen[str]:
        """A process that boots a stack, says ``up``, and holds it until it is told or killed."""
        here = str(Path(__file__).parent)
        path = os.pathsep.join([str(ROOT), here, str(Path(here).parent)])
        return subprocess.Popen(
            [sys.executable, "-c", OWNER, self.name, run_id, str(place), here],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )


def new_run_id() -> str:
    return f"contract-{secrets.token_hex(4)}"


class EmbeddedLab(Lab):
    name = "embedded"

    def boot(self, run_id: str, place: Path, allow: frozenset[str] = ALLOW) -> EmbeddedStack:
        options = BootOptions(time_scale=60, allow=allow)
        return EmbeddedStack.boot(run_id, place / "ragdrill", place / "logs" / run_id, options)

    def attach(self, stack: Stack) -> Stack:
        return EmbeddedStack.attach(stack.scratch / STATE_NAME)

    def sweep(self, place: Path) -> None:
        from harness.drivers.embedded.sweep import sweep

        sweep(place / "ragdrill")


class AttachLab(Lab):
    """An operator's stack: a separate process booted it, and control is by shell commands."""

    name = "attach"
    boots = False

    def __init__(self) -> None:
        self._owners: dict[str, subprocess.Popen[str]] = {}
        self._theirs: dict[str, Stack] = {}

    def boot(self, run_id: str, place: Path, allow: frozenset[str] = ALLOW) -> Any:
        process = EmbeddedLab().owner(run_id, place)
        self._owners[run_id] = process
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        theirs = EmbeddedStack.attach(place / "ragdrill" / run_id / STATE_NAME)
        self._theirs[run_id] = theirs
        target = TargetFile.model_validate(_target(theirs, allow))
        scratch = place / "attached" / run_id
        scratch.mkdir(parents=True)
        (scratch / STATE_NAME).write_text(
            json.dumps({"run_id": run_id, "target": target.model_dump(mode="json")})
        )
        return attached(run_id, scratch, target)

    def attach(self, stack: Stack) -> Stack:
        from harness.drivers.attach import AttachedStack

        return AttachedStack.attach(stack.scratch / STATE_NAME)

    def sweep(self, place: Path) -> None:
        """Nothing was started."""

    def end(self, run_id: str) -> None:
        """Have the operator's process take its stack down."""
        process = self._owners.pop(run_id)
        with contextlib.suppress(HarnessError):
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _target(theirs: EmbeddedStack, allow: frozenset[str]) -> dict[str, Any]:
    """What an operator would write down of their stack; secrets go into the environment."""
    variables = {"api_key": "api_key", "service_key": "api_key"}
    state = shlex.quote(str(theirs.scratch / STATE_NAME))
    control = f"{shlex.quote(sys.executable)} -m harness.drivers.control --state {state}"
    roles: dict[str, dict[str, str]] = {}
    for role in theirs.roles():
        section = {"url": theirs.endpoint(role).url}
        given = theirs.credentials(role)
        for name, key in variables.items():
            if name in given:
                variable = f"CONTRACT_{role.upper()}_{os.getpid()}"
                os.environ[variable] = given[name]
                section[f"{key}_env"] = variable
        if role == "metadata":
            dsn = given["admin_dsn"]
            login, _, rest = dsn.removeprefix("postgresql://").partition("@")
            user, _, password = login.partition(":")
            variable = f"CONTRACT_METADATA_{os.getpid()}"
            os.environ[variable] = password
            section |= {"url": f"postgresql://{user}@{rest}", "api_key_env": variable}
        roles[role] = section
    return {
        "target": {"name": "theirs", "driver": "attach", "allow": sorted(allow)},
        "roles": roles,
        "control": {
            role: {action: f"{control} {action} {role}" for action in ("stop", "start", "restart")}
            for role in roles
        },
    }


class ContainersLab(Lab):
    name = "containers"

    def unavailable(self) -> str:
        try:
            from harness.drivers.containers.engine import connect
            from harness.drivers.containers.pulling import is_there
            from harness.drivers.containers.recipes import PARTS, image_of
        except ImportError as error:
            return f"the extra `containers` is not installed ({error})"
        try:
            client = connect()
        except HarnessError as error:
            return error.what
        images = {image_of(part, "local").reference for part in PARTS}
        absent = sorted(each for each in images if not is_there(client, each))
        return f"run `make images`: {', '.join(absent)} are not built" if absent else ""

    def boot(self, run_id: str, place: Path, allow: frozenset[str] = ALLOW) -> Any:
        from harness.drivers.containers.bringup import Options
        from harness.drivers.containers.stack import ContainerStack

        options = Options(time_scale=60, allow=allow, source="local")
        return ContainerStack.boot(run_id, place / "ragdrill", place / "logs" / run_id, options)

    def attach(self, stack: Stack) -> Stack:
        from harness.drivers.containers.stack import ContainerStack

        return ContainerStack.attach(stack.scratch / STATE_NAME)

    def inside(self, stack: Any, part: str) -> str:
        return str(stack.fleet.book.context.address(part))

    def through(self, stack: Any, link: str) -> str:
        return str(stack.fleet.book.context.link_address(link))

    def left(self, run_id: str, place: Path) -> list[str]:
        from harness.drivers.containers.engine import connect
        from harness.drivers.containers.removal import find

        return super().left(run_id, place) + find(connect(), run_id).words()

    def sweep(self, place: Path) -> None:
        from harness.drivers.containers.engine import connect
        from harness.drivers.containers.removal import sweep
        from harness.drivers.embedded.sweep import sweep as sweep_directories

        sweep(connect())
        sweep_directories(place / "ragdrill")


class ComposeLab(ContainersLab):
    """The operator's Compose project: the reference stack's own file, with the local images."""

    name = "compose"

    def unavailable(self) -> str:
        why = super().unavailable()
        if why:
            return why
        from harness.drivers.compose.cli import require_compose

        try:
            require_compose()
        except HarnessError as error:
            return error.what
        return ""

    def boot(self, run_id: str, place: Path, allow: frozenset[str] = ALLOW) -> Any:
        from harness.drivers.compose.stack import ComposeStack

        os.environ["RAGDRILL_IMAGES"] = "local"
        # The passwords of a run are random and die with it: one round, a fifth of the cost.
        os.environ["AUTH_SCRYPT_ROUNDS"] = "1"
        target = load_target(ROOT / "refstack" / "compose.target.toml")
        wanted = target.target.model_copy(update={"allow": tuple(sorted(allow))})
        target = target.model_copy(update={"target": wanted})
        scratch_root, logs = place / "ragdrill", place / "logs" / run_id
        stack = ComposeStack.of_target(run_id, scratch_root, logs, target, time_scale=60)
        stack.up()
        return stack

    def migrate(self, stack: Any) -> None:
        """The project's own job, waited for."""
        stack.fleet.compose("up", "-d", "--no-deps", "--force-recreate", "rag-migrate")
        job = stack.fleet.of_service("rag-migrate")
        assert job.wait(timeout=60)["StatusCode"] == 0

    def inside(self, stack: Any, part: str) -> str:
        each = stack.fleet.state.services[part]
        return f"{each['service']}:{each['port']}"

    def through(self, stack: Any, link: str) -> str:
        from harness.drivers.compose.links import inside

        return inside(stack.fleet.state, link)

    def attach(self, stack: Stack) -> Stack:
        from harness.drivers.compose.stack import ComposeStack

        return ComposeStack.attach(stack.scratch / STATE_NAME)


def lab_of(stack: Any) -> Lab:
    """The lab of a booted stack."""
    return LABS[getattr(stack.state, "driver", "embedded")]()


LABS: dict[str, type[Lab]] = {
    lab.name: lab for lab in (EmbeddedLab, AttachLab, ContainersLab, ComposeLab)
}
