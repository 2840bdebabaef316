"""A target that we only attached to outlives the run, and is healed by its own control commands."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from chaos.faults.probe import look
from fixtures.faults import Injector
from harness.core.history import History
from harness.core.run import Run
from harness.core.target import TargetFile
from harness.drivers.attach import AttachedStack

SERVER = (
    "import http.server, sys\n"
    "class Answer(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.send_header('Content-Length', '2')\n"
    "        self.end_headers(); self.wfile.write(b'{}')\n"
    "    def log_message(self, *_): pass\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()\n"
)


def target_of(place: Path, port: int) -> TargetFile:
    (place / "server.py").write_text(SERVER)
    pid = shlex.quote(f"{place}/server.pid")
    python, script = shlex.quote(sys.executable), shlex.quote(f"{place}/server.py")
    start = f"setsid {python} {script} {port} >/dev/null 2>&1 & echo $! > {pid}"
    # As some service managers do: back before the role is gone.
    stop = f"( sleep 0.3; kill $(cat {pid}) ) >/dev/null 2>&1 &"
    return TargetFile.model_validate(
        {
            "target": {"name": "staging", "driver": "attach", "allow": ["restart", "fault"]},
            "roles": {"pager": {"url": f"http://127.0.0.1:{port}"}},
            "control": {"pager": {"start": start, "stop": stop}},
        }
    )


def run_in(place: Path) -> Run:
    return Run("run", place / "run", place / "scratch", "ci", "attach", "staging", 1, 1.0)


def stop_it_and_sleep(place: Path, port: int, told: Connection) -> None:
    """Attach, stop the role as a fault, and never come back."""
    run = run_in(place)
    stack = AttachedStack.for_run(run, target_of(place, port), print)
    injector = Injector(stack, run, History(run.directory))
    with injector.inject("graceful-stop", role="pager"):
        told.send(os.getpid())
        time.sleep(300)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def place(tmp_path: Path, port: int) -> Iterator[Path]:
    for name in ("run", "scratch"):
        (tmp_path / name).mkdir()
    stack = AttachedStack.for_run(run_in(tmp_path), target_of(tmp_path, port), print)
    stack.start("pager")  # type: ignore[attr-defined]  # it has control commands
    yield tmp_path
    os.kill(int((tmp_path / "server.pid").read_text()), signal.SIGKILL)


def test_its_role_is_started_again_after_the_run_was_killed(place: Path, port: int) -> None:
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=stop_it_and_sleep, args=(place, port, theirs)
    )
    process.start()
    assert mine.poll(60)
    mine.recv()
    assert look("127.0.0.1", port, "pager").outcome == "refused"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    deadline = time.monotonic() + 20
    while look("127.0.0.1", port, "pager").outcome != "answered" or list(place.glob("*.lease-*")):
        assert time.monotonic() < deadline, (place / "run/logs/watchdog.log").read_text()
        time.sleep(0.1)
