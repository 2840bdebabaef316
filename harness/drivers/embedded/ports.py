"""Free loopback ports that stay ours for the whole run, also while their role is down."""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import TargetError
from harness.drivers.embedded.keeper import LOCK_NAME

HOST = "127.0.0.1"
_LOWEST = 10240
_RECORD = "ports.json"


def reserve(
    names: Sequence[str], scratch: Path, avoid: frozenset[int] = frozenset()
) -> dict[str, int]:
    """Pick a port for each name and record them in the run's scratch directory.

    Ports lie below the kernel's range for outgoing connections, so that no client takes one while
    its role restarts, and no two runs of one user get the same one. Another user's process still
    may, between this call and the bind: then the boot is tried again with other ports.

    Raises TargetError when too few are free.
    """
    root = scratch.parent
    descriptor = os.open(root / "ports.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        taken = avoid | _of_other_runs(root, scratch)
        low, high = port_range()
        candidates = [port for port in range(low, high) if port not in taken]
        random.shuffle(candidates)
        chosen: dict[str, int] = {}
        for name in names:
            while candidates and not is_free(candidates[-1]):
                candidates.pop()
            if not candidates:
                raise TargetError(
                    "There are not enough free ports on the loopback interface.",
                    expected=f"{len(names)} free ports from {low} to {high - 1}",
                    actual=f"{len(chosen)}",
                    next_step="`ragdrill status` shows the stacks that hold some; end one",
                )
            chosen[name] = candidates.pop()
        (scratch / _RECORD).write_text(json.dumps(chosen))
    finally:
        os.close(descriptor)
    return chosen


def is_free(port: int) -> bool:
    """Whether the port can be bound on 127.0.0.1 right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that linger from an earlier life are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def port_range() -> tuple[int, int]:
    """From which port on, and below which one, a run takes its own."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        ephemeral = int(text.split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral = 32768
    return (_LOWEST, ephemeral) if ephemeral - _LOWEST >= 2000 else (_LOWEST, 65000)


def _of_other_runs(root: Path, scratch: Path) -> frozenset[int]:
    found: set[int] = set()
    for record in root.glob(f"*/{_RECORD}"):
        if record.parent != scratch and (record.parent / LOCK_NAME).exists():
            try:
                found.update(json.loads(record.read_text()).values())
            except (OSError, ValueError):
                continue
    return frozenset(found)
