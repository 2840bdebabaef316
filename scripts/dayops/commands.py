"""Runs the shell commands that only the operator of a target can know."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping

from harness.core.errors import TargetError


def run_command(command: str, name: str, settings: Mapping[str, str] | None = None) -> None:
    """Run an operator's command with the shell, ``settings`` in its environment.

    ``name`` is the variable that holds it. What the command leaves running may keep its output
    open: only the command itself is waited for.

    Raises:
        TargetError: it ended with another status than 0; its last words are shown.
    """
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(settings or {})},
        )
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    if done.returncode:
        raise TargetError(
            f"The command in {name} failed.",
            expected="exit status 0",
            actual=f"{done.returncode}: {words[-500:]}",
            next_step="correct it and run this again",
        )


def succeeds(command: str, settings: Mapping[str, str] | None = None) -> bool:
    """Whether an operator's command ends with status 0, which is its way of saying yes."""
    done = subprocess.run(
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(settings or {})},
    )
    return done.returncode == 0
