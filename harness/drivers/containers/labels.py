"""The labels by which everything of a run is known, and whether whoever owns it still lives."""

from __future__ import annotations

import os
from collections.abc import Mapping

from harness.drivers.containers.engine import machine
from harness.drivers.embedded import procfs

RUN = "org.ragdrill.run"
PART = "org.ragdrill.part"
SETTINGS = "org.ragdrill.settings"
"""Digest of what a container was made from: another one calls for another container."""

OWNER = "org.ragdrill.owner"
MACHINE = "org.ragdrill.machine"


def of_run(run_id: str, owner: int | None = None) -> dict[str, str]:
    """The labels of everything that is made for a run.

    It lives as long as the process ``owner``, which is this one where none is given.
    """
    pid = os.getpid() if owner is None else owner
    row = procfs.read_process(pid)
    start = row.start if row else 0
    return {RUN: run_id, OWNER: f"{pid} {start}", MACHINE: machine()}


def is_dead(labels: Mapping[str, str]) -> bool:
    """Whether whoever made something with these labels has surely ended.

    What another machine, or another space of process numbers, made is left alone; what this
    machine made before it was started anew is dead.
    """
    theirs = labels.get(MACHINE, "")
    if theirs != machine():
        their, here = theirs.split("/"), machine().split("/")
        # The same machine, started anew since.
        return bool(their[0]) and their[0] == here[0] and their[1:2] != here[1:2]
    pid, _, start = labels.get(OWNER, "").partition(" ")
    if not pid.isdigit() or not start.isdigit():
        return False
    return not procfs.is_alive(int(pid), int(start))
