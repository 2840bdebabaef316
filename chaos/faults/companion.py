"""Small processes that hold something for a fault, and that never outlive who started them.

Run as a file, not as a module, so that they start without importing the catalogue. Each ends when
its standard input does, which is when its starter ends in whatever way.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_READY_S = 60.0
_GONE_S = 5.0
_STARTED: dict[int, subprocess.Popen[bytes]] = {}


class CompanionError(Exception):
    """A companion did not come up; the text says why."""


def start(kind: str, run_id: str, settings: dict[str, Any]) -> dict[str, int]:
    """Start one and wait until it holds what it shall hold.

    ``settings`` go through its standard input, since they may hold secrets. Returns its ``pid``
    and ``start`` (clock ticks since boot), by which :func:`end` finds it from any process.

    Raises:
        CompanionError: it ended, or took longer than a minute.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", __file__, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "RAGDRILL_RUN_ID": run_id},
    )
    assert process.stdin is not None and process.stdout is not None
    _STARTED[process.pid] = process
    process.stdin.write(json.dumps(settings).encode() + b"\n")
    process.stdin.flush()
    readable, _, _ = select.select([process.stdout], [], [], _READY_S)
    line = process.stdout.readline().decode().strip() if readable else "nothing in time"
    if line != "ready":
        end({"pid": process.pid, "start": _start_time(process.pid) or 0})
        raise CompanionError(f"{kind}: {line or 'it ended without a word'}")
    return {"pid": process.pid, "start": _start_time(process.pid) or 0}


def end(companion: dict[str, int]) -> None:
    """Kill one, whoever started it, and return once it is gone; a later process with the same
    number is left alone."""
    pid = companion["pid"]
    group = _start_time(pid) == companion["start"]
    if group:
        # It leads a session of its own, so this reaches its children too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    own = _STARTED.pop(pid, None)
    if own is not None:
        own.wait(timeout=_GONE_S)
        for stream in (own.stdin, own.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    deadline = time.monotonic() + _GONE_S
    while (alive(companion) or (group and _group_lives(pid))) and time.monotonic() < deadline:
        time.sleep(0.01)


def alive(companion: dict[str, int]) -> bool:
    """Whether it is there and no zombie."""
    return _start_time(companion["pid"]) == companion["start"]


def _group_lives(group: int) -> bool:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = path.read_text()
            fields = text[text.rfind(")") + 2 :].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                return True
    return False


def _start_time(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rfind(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


# --- what runs in the other process -------------------------------------------------------------


def _lifeline() -> None:
    """End with the starter: its end of the pipe closes, or this process gets another parent."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            readable, _, _ = select.select([0], [], [], 0.5)
            if readable and not os.read(0, 1):
                break
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _ready() -> None:
    os.write(1, b"ready\n")


def _hog(settings: dict[str, Any]) -> None:
    """Use the processors in ``cpus`` with one busy process each, at ``nice``."""
    with contextlib.suppress(OSError):
        os.nice(int(settings["nice"]))
    cpus = list(settings["cpus"])
    parent = os.getpid()
    for cpu in cpus[1:]:
        child = os.fork()
        if child == 0:
            os.sched_setaffinity(0, {cpu})
            while os.getppid() == parent:
                _burn()
            os._exit(0)
    _ready()
    _lifeline()
    os.sched_setaffinity(0, {cpus[0]})
    while True:
        _burn()


def _burn() -> None:
    end_at = time.monotonic() + 0.05
    while time.monotonic() < end_at:
        sum(range(1000))


def _connections(settings: dict[str, Any]) -> None:
    """Open connections with ``dsn`` until the server refuses one or ``most`` are open; hold them.

    Goes on taking what becomes free, since clients come and go.
    """
    import psycopg

    _lifeline()
    held: list[Any] = []
    told = False
    while True:
        try:
            if len(held) < int(settings["most"]):
                held.append(psycopg.connect(settings["dsn"], connect_timeout=10))
                continue
        except psycopg.OperationalError as error:
            if not held:
                os.write(1, f"{type(error).__name__}\n".encode())
                os._exit(1)
        if not told:
            _ready()
            told = True
        time.sleep(0.05)


def _lock(settings: dict[str, Any]) -> None:
    """Hold a lock on ``table`` (already quoted) in ``mode`` inside an open transaction."""
    import psycopg

    _lifeline()
    try:
        with psycopg.connect(settings["dsn"], connect_timeout=10) as connection:
            connection.execute("SET lock_timeout = '20s'")
            connection.execute(f"LOCK TABLE {settings['table']} IN {settings['mode']} MODE")
            _ready()
            while True:
                time.sleep(60)
    except psycopg.Error as error:
        os.write(1, f"{type(error).__name__} {error.sqlstate or ''}\n".encode())
        os._exit(1)


def _queries(settings: dict[str, Any]) -> None:
    """Post batches of exact searches to ``path``, two at a time so that the server never waits for
    the next, each as large as takes ``seconds`` to be answered; end with the first that is not
    answered, as a script without retries."""
    _lifeline()
    heavy = threading.Event()

    def ask() -> None:
        searches = 8
        while True:
            body = json.dumps({"searches": [settings["search"]] * searches}).encode()
            began = time.monotonic()
            if _posted(settings, body) != 200:
                if not heavy.is_set():
                    os.write(1, b"a batch was refused\n")
                os._exit(1)
            took = max(time.monotonic() - began, 1e-3)
            if took > settings["seconds"] / 2:
                heavy.set()
            searches = max(1, min(round(searches * min(settings["seconds"] / took, 4)), 200_000))

    for _ in range(2):
        threading.Thread(target=ask, daemon=True).start()
    heavy.wait()
    _ready()
    while True:
        time.sleep(60)


def _documents(settings: dict[str, Any]) -> None:
    """Post each of ``bodies`` to ``path`` again and again, one thread a body; who is refused waits
    a second and goes on, as a bulk load that must come through does."""
    _lifeline()
    accepted = threading.Event()

    def load(body: bytes) -> None:
        while True:
            if _posted(settings, body) == 201:
                accepted.set()
            else:
                time.sleep(1.0)

    for documents in settings["bodies"]:
        body = json.dumps(documents).encode()
        threading.Thread(target=load, args=(body,), daemon=True).start()
    accepted.wait()
    _ready()
    while True:
        time.sleep(60)


def _posted(settings: dict[str, Any], body: bytes) -> int:
    """Return the status of a POST, 0 if there was no answer."""
    import http.client

    connection = http.client.HTTPConnection(settings["host"], settings["port"], timeout=60)
    try:
        headers = {"Content-Type": "application/json", **settings["headers"]}
        connection.request("POST", settings["path"], body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


_KINDS = {
    "hog": _hog,
    "connections": _connections,
    "lock": _lock,
    "queries": _queries,
    "documents": _documents,
}


if __name__ == "__main__":
    with open(0, "rb", buffering=0, closefd=False) as _stdin:
        _settings = json.loads(_stdin.readline())
    _KINDS[sys.argv[1]](_settings)
