"""Boots the processes of a stack in parallel, each as soon as what it needs is there."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError, TargetError
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.readiness import wait_ready

LEAST_ROOM_BYTES = 300 * 1024 * 1024
READY_S = 60.0
INTERRUPTED_S = 2.5

Progress = Callable[[str, str, float], None]
"""Called with a role, ``starting`` or ``ready``, and the seconds since the boot began."""


@dataclass(frozen=True)
class Step:
    """One piece of work; begins when every step in ``after`` has ended."""

    name: str
    after: tuple[str, ...]
    work: Callable[[], None]


def check_room(scratch: Path) -> None:
    """Raise TargetError where a boot would fill the disk."""
    free = shutil.disk_usage(scratch).free
    if free < LEAST_ROOM_BYTES:
        raise TargetError(
            "There is too little disk space to boot the stack.",
            expected=f"{LEAST_ROOM_BYTES >> 20} MiB free in {scratch}",
            actual=f"{free >> 20} MiB",
            next_step="make room, or set TMPDIR to a directory with more",
        )


def boot(processes: Parts, progress: Progress, ready_s: float | None = None) -> None:
    """Bring everything up; raises TargetError for the first part that fails.

    What had been started by then keeps running: the caller ends it.
    """
    check_room(processes.scratch)
    limit = READY_S if ready_s is None else ready_s
    failed = threading.Event()
    begun = time.monotonic()

    def report(name: str, state: str) -> None:
        progress(name, state, time.monotonic() - begun)

    def start(name: str) -> Callable[[], None]:
        def work() -> None:
            report(name, "starting")
            processes.prepare(name)
            processes.start(name)

        return work

    def ready(name: str) -> Callable[[], None]:
        def work() -> None:
            wait_ready(processes, name, limit, failed.is_set)
            if not failed.is_set():
                report(name, "ready")

        return work

    def migrate() -> None:
        report("migrate", "starting")
        processes.migrate()
        report("migrate", "ready")

    gateway = f"gateway-{processes.state.colour}"
    needs: dict[str, tuple[str, ...]] = {
        "auth": ("links", "migrate"),
        # Earlier, it would ask for keys before anybody has some, and wait a second to ask again.
        gateway: ("links", "migrate"),
        "metrics": ("links",),
        "exporter": ("migrate", "objectstore ready"),
        # Nobody waits for these, so they leave the processors to those that are waited for.
        "logs": ("metadata ready",),
        "gpu": ("metadata ready",),
        "logship": ("links", "logs ready"),
    }
    first = ("faultproxy", "metadata", "vectordb", "embed", "fallback", "rerank", "objectstore")
    steps = []
    later = ("edge", "pager", "auth", gateway, "alerts", "metrics", "exporter")
    for name in (*first, *later, "logs", "gpu", "logship"):
        if name not in processes.state.absent:
            steps.append(Step(name, needs.get(name, ()), start(name)))
            steps.append(Step(f"{name} ready", (name,), ready(name)))
    steps.append(Step("links", ("faultproxy ready",), processes.connect))
    steps.append(Step("migrate", ("metadata ready", "vectordb ready"), migrate))
    run_steps(steps, failed)


def run_steps(steps: Sequence[Step], failed: threading.Event) -> None:
    """Run the steps, each in a thread of its own; raises the first error once all have ended."""
    done = {step.name: threading.Event() for step in steps}
    errors: list[BaseException] = []

    def run(step: Step) -> None:
        try:
            for name in step.after:
                while not done[name].wait(0.05):
                    if failed.is_set():
                        return
            if not failed.is_set():
                step.work()
        except BaseException as error:
            errors.append(error)
            failed.set()
        finally:
            done[step.name].set()

    threads = [threading.Thread(target=run, args=(step,), daemon=True) for step in steps]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                # With a limit, because an unlimited join would not let Ctrl-C through.
                thread.join(0.2)
    except BaseException:
        failed.set()
        # A step that asks a process something may take a moment to see that it is over. Those
        # that do not in time end when the processes they wait for do.
        deadline = time.monotonic() + INTERRUPTED_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        raise
    if errors:
        raise explained(errors[0])


def explained(error: BaseException) -> BaseException:
    """The error as the user should see it."""
    if isinstance(error, HarnessError) or not isinstance(error, OSError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TargetError(
            "The disk filled up while the stack was being booted.",
            expected=f"{LEAST_ROOM_BYTES >> 20} MiB for data and logs",
            actual=str(error),
            next_step="make room, or set TMPDIR to a directory with more",
        )
    return TargetError(
        "The stack could not be booted.", actual=str(error), next_step="ragdrill doctor"
    )
