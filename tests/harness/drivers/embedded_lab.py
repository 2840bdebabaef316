"""What the tests of the embedded driver share: owners in processes of their own, waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.drivers.embedded import procfs

ROOT = Path(__file__).resolve().parents[3]


def eventually(check: Callable[[], bool], limit_s: float = 5.0) -> bool:
    """Ask again and again until the answer is yes or the time is over."""
    deadline = time.monotonic() + limit_s
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def marked(run_id: str) -> list[int]:
    """The living processes that carry a run's mark in environment, command or working directory."""
    found = []
    for pid, row in procfs.table().items():
        if not row.alive or pid == os.getpid():
            continue
        texts = (procfs.link(pid, "cwd"), *procfs.command(pid))
        if procfs.environ(pid).get("RAGDRILL_RUN_ID") == run_id or any(
            run_id in text for text in texts
        ):
            found.append(pid)
    return found


def owner(code: str, arguments: Sequence[str], **more: object) -> subprocess.Popen[str]:
    """Run a program that owns a run, in a process that a test may kill; prints go to its pipe."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        **more,  # type: ignore[call-overload]
    )
