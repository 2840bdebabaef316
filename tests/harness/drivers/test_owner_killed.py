"""Whenever the owner of a stack is killed, nothing of its run is left within five seconds."""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from embedded_lab import eventually, marked, owner

from harness.drivers.embedded.ports import is_free
from harness.drivers.running import running

pytestmark = pytest.mark.slow

LIMIT_S = 5.0
OWNER = """
import sys, time
from pathlib import Path
from harness.drivers.embedded.stack import EmbeddedStack
print("importing is over", flush=True)
stack = EmbeddedStack.boot(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[2]).parent / "logs")
print("up", flush=True)
time.sleep(300)
"""


def left_over(run_id: str, scratch: Path) -> list[str]:
    found = [f"process {pid}" for pid in marked(run_id)]
    found += [f"directory {scratch}"] if scratch.exists() else []
    mounts = Path("/proc/mounts").read_text().splitlines()
    return found + [f"mount {line}" for line in mounts if run_id in line]


def ports_of(scratch: Path) -> list[int]:
    try:
        return list(json.loads((scratch / "ports.json").read_text()).values())
    except (OSError, ValueError):
        return []


def still_held(ports: list[int], run_id: str) -> list[int]:
    """The ports that are taken, but not by another run of whoever else tests here meanwhile."""
    ours = set(marked(run_id))
    listening = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
    others = {each.laddr.port for each in listening if each.pid and each.pid not in ours}
    return [port for port in ports if port not in others and not is_free(port)]


def begin(tmp_path: Path) -> tuple[subprocess.Popen[str], str, Path]:
    run_id, root = f"killed-{secrets.token_hex(4)}", tmp_path / "ragdrill-0"
    root.mkdir()
    process = owner(OWNER, [run_id, str(root)], stderr=subprocess.DEVNULL)
    assert process.stdout is not None and process.stdout.readline()
    return process, run_id, root / run_id


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
@pytest.mark.parametrize("after_s", [0.02, 0.3, 1.0, None], ids=lambda after: f"about-{after}-s")
def test_nothing_is_left_when_the_owner_ends_while_booting(
    tmp_path: Path, how: signal.Signals, after_s: float | None
) -> None:
    process, run_id, scratch = begin(tmp_path)
    moment = random.uniform(1.2, 3.0) if after_s is None else after_s * random.uniform(0.7, 1.3)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    ports, sockets = ports_of(scratch), sockets_of(scratch)
    process.send_signal(how)
    process.wait(20)
    assert eventually(lambda: not left_over(run_id, scratch), LIMIT_S), (
        moment,
        left_over(run_id, scratch),
    )
    assert still_held(ports, run_id) == []
    assert [path for path in sockets if path.exists()] == []


def sockets_of(scratch: Path) -> list[Path]:
    try:
        return [Path(line) for line in (scratch / "leftovers").read_text().splitlines()]
    except OSError:
        return []


def test_nothing_is_left_of_a_whole_stack(tmp_path: Path) -> None:
    process, run_id, scratch = begin(tmp_path)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    assert len(running(scratch.parent, detached_only=False)) == 1
    ports, sockets = ports_of(scratch), sockets_of(scratch)
    assert len(marked(run_id)) > 12 and len(ports) > 30 and len(sockets) > 3
    assert all(path.exists() for path in sockets)
    process.kill()
    process.wait(10)
    assert eventually(lambda: not left_over(run_id, scratch), LIMIT_S), left_over(run_id, scratch)
    assert still_held(ports, run_id) == []
    assert [path for path in sockets if path.exists()] == []
