"""The reaper: waits beside a run, and removes its containers, networks and volumes when it ends.

``python -m harness.drivers.containers.reaper RUN_ID OWNER_PID PIPE_FD SCRATCH`` says ``armed`` on
its standard output once it has reached the engine: at the moment it is needed there is no time for
that. Its life hangs on the pipe, whose other end only the owner holds. An owner that leaves its
stack to another process writes that one's number into the pipe before it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

from harness.drivers.containers.engine import connect
from harness.drivers.containers.removal import find, remove_run
from harness.drivers.embedded import procfs

ARMED = b"armed\n"
_TRIES_S = 300.0
_AGAIN_S = 1.0
_LOOK_S = 0.2


def main(arguments: list[str]) -> int:
    """Wait for the owner's end; returns 1 when something stays."""
    run_id, owner, pipe = arguments[0], int(arguments[1]), int(arguments[2])
    scratch = arguments[3]
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    os.set_inheritable(pipe, False)
    client = connect()
    # The pipe alone is not enough: a child that the owner forked without exec would hold its
    # other end open. A descriptor of the owner's process settles it.
    watched = [pipe]
    with contextlib.suppress(OSError):
        watched.append(os.pidfd_open(owner))
    os.write(1, ARMED)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    select.select(watched, [], [])
    # What was said before the end counts, whichever of the two was seen first.
    said = os.read(pipe, 64) if select.select([pipe], [], [], 0)[0] else b""
    if said:
        _await_end(int(said))
    deadline = time.monotonic() + _TRIES_S
    while True:
        try:
            left = remove_run(client, run_id)
        except Exception as error:
            # The engine may be restarting: what is left behind now, nobody else removes soon.
            _say("the engine did not answer", seen=f"{type(error).__name__}: {error}")
        else:
            if not left:
                # A container that was just being started had the engine make anew what it mounts
                # from there, after the keeper had removed it.
                procfs.remove_tree(scratch)
                return 0
            _say("not removed", left=left.words())
        if time.monotonic() > deadline:
            with contextlib.suppress(Exception):
                _say("given up", left=find(client, run_id).words())
            return 1
        time.sleep(_AGAIN_S)


def _await_end(pid: int) -> None:
    """Return when the process that the run was left to has ended."""
    row = procfs.read_process(pid)
    while row is not None and procfs.is_alive(pid, row.start):
        time.sleep(_LOOK_S)


def _say(event: str, **more: Any) -> None:
    line = json.dumps({"t": time.time(), "event": event, **more}, default=str)
    with contextlib.suppress(OSError):
        os.write(2, line.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
