"""The one owner of the target in a run, and how its other processes reach it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

from harness.core.errors import HarnessError, UsageError
from harness.core.events import ComponentSeen, Note, StackGone, StackReady
from harness.core.history import History
from harness.core.run import Run
from harness.core.target import TargetFile
from harness.drivers import registry
from harness.drivers.base import Adapted, Stack

_NO_SECRET = frozenset({"bucket"})
"""What credentials hold beside secrets; hiding it would only make a report unreadable."""


class StackOwner:
    """Boots the target when it is first asked for, and takes it down once."""

    def __init__(self, *, target: TargetFile, driver: str, progress: Callable[[str], None]) -> None:
        self.target = target
        self.driver_name = driver
        self.failed = False
        self._driver = registry.driver(driver)
        self._progress = progress
        self._stack: Stack | None = None

    def stack(self, run: Run, history: History) -> Stack:
        """Return the target, booted by the first call.

        Raises:
            TargetError: it does not come up; nothing of it is left.
        """
        if self._stack is not None:
            return self._stack
        began = time.monotonic()
        self._progress(f"ragdrill: booting {run.target!r} with driver {run.driver} ...")
        try:
            stack: Stack = self._driver.for_run(run, self.target, self._progress)
            _refuse_ignored_adapter(self.target, stack)
            stack.up()
        except HarnessError:
            self.failed = True
            raise
        self._stack = stack
        seconds = time.monotonic() - began
        learn_secrets(stack, history)
        history.write(StackReady(seconds=seconds, breakdown=getattr(stack, "boot_seconds", {})))
        for part in stack.components():
            history.write(
                ComponentSeen(part.role, part.software, part.version, part.stand_in, part.note)
            )
        for text in getattr(stack, "missing", ()):
            history.write(Note(level="warning", text=text))
            self._progress(f"ragdrill: {text}")
        self._progress(f"ragdrill: ready in {seconds:.1f} s; run kept in {run.directory}")
        return stack

    def down(self, history: History) -> None:
        """Take the target down; a part that stays is an error of the run."""
        stack, self._stack = self._stack, None
        if stack is None:
            return
        began = time.monotonic()
        left: list[str] = []
        try:
            stack.down()
        except HarnessError as error:
            self.failed = True
            left.append(str(error))
        history.write(StackGone(seconds=time.monotonic() - began, left=left))

    def clean_up(self, run: Run) -> None:
        """Remove the run's scratch directory (the keeper does so too if we can't)."""
        shutil.rmtree(run.scratch, ignore_errors=True)


def _refuse_ignored_adapter(target: TargetFile, stack: Stack) -> None:
    if target.gateway_api.spec and not isinstance(stack, Adapted):
        raise UsageError(
            "This driver's gateway is the reference gateway, and needs no adapter.",
            expected='driver = "attach" or another that runs a gateway of yours',
            actual=f"{type(stack).__name__} with the adapter {target.gateway_api.name!r}",
            next_step="leave roles.gateway.adapter away, or change [target] driver",
        )


def worker_stack(run: Run, history: History) -> Callable[[], Any]:
    """Return a function that attaches (once) to the stack that the controller booted."""
    attached: list[Stack] = []

    def get() -> Stack:
        if not attached:
            stack: Stack = registry.driver(run.driver).attach(run.state_file)
            learn_secrets(stack, history)
            attached.append(stack)
        return attached[0]

    return get


def learn_secrets(stack: Stack, history: History) -> None:
    """Teach the history's redactor every secret of the target."""
    for role in stack.roles():
        for name, value in stack.credentials(role).items():
            if name not in _NO_SECRET:
                history.redactor.add(str(value))
