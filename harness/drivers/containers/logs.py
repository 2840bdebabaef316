"""The follower: writes what the containers of a run say into the run's log files, line for line.

``python -m harness.drivers.containers.logs RUN_ID LOG_DIR POSITIONS_DIR`` runs under the keeper
until that ends it. What a container said while nobody followed is read from the engine when it is
followed again; the engine's time of each line tells what is written already.
"""

from __future__ import annotations

import collections
import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.models.containers
import requests

from harness.drivers.containers import labels
from harness.drivers.containers.engine import connect

POSITIONS = "followed"
"""The directory of the run's scratch directory where the follower says how far it is."""

WRITTEN_S = 10.0
_REMEMBERED = 4096
_OVERLAP_S = 2
_AGAIN_S = 0.2


class Tail:
    """Follows one container from its first line on, through all its starts."""

    def __init__(self, client: docker.DockerClient, name: str, part: str, files: Files) -> None:
        self._client, self._id, self._part, self._files = client, name, part, files
        self._started = threading.Event()
        self._seen: collections.OrderedDict[bytes, None] = collections.OrderedDict()
        self._since = 0
        threading.Thread(target=self._run, daemon=True, name=f"tail-{part}").start()

    def started(self) -> None:
        """The container was started, perhaps once more."""
        self._started.set()

    def _run(self) -> None:
        while True:
            self._started.wait()
            self._started.clear()
            try:
                self._follow()
            except docker.errors.NotFound:
                return
            except (docker.errors.DockerException, requests.RequestException, OSError) as error:
                print(f"{self._part} is followed anew: {error}", file=sys.stderr, flush=True)
                time.sleep(_AGAIN_S)
                self._started.set()

    def _follow(self) -> None:
        stream = self._client.api.logs(
            self._id,
            stdout=True,
            stderr=True,
            stream=True,
            follow=True,
            timestamps=True,
            since=max(1, self._since - _OVERLAP_S),
        )
        with contextlib.closing(stream):
            for frame in stream:
                at, _, text = frame.partition(b" ")
                if frame in self._seen:
                    continue
                self._seen[frame] = None
                if len(self._seen) > _REMEMBERED:
                    self._seen.popitem(last=False)
                self._since = int(time.time())
                self._files.write(self._part, text)
                self._files.reached(self._id, at)


class Files:
    """The log files, appended to, and how far each container is followed."""

    def __init__(self, directory: Path, positions: Path) -> None:
        self._directory, self._positions = directory, positions
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()

    def write(self, part: str, text: bytes) -> None:
        """Append one line, or a piece of a very long one."""
        os.write(self._descriptor(part, self._directory / f"{part}.log", os.O_APPEND), text)

    def reached(self, name: str, at: bytes) -> None:
        """Everything that the container said up to then is in its file."""
        os.pwrite(self._descriptor(name, self._positions / name, 0), at, 0)

    def _descriptor(self, key: str, path: Path, more: int) -> int:
        with self._lock:
            if key not in self._open:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | more
                self._open[key] = os.open(path, flags, 0o600)
            return self._open[key]


def await_written(
    container: docker.models.containers.Container, positions: Path, limit_s: float = WRITTEN_S
) -> bool:
    """Return once what the container has said by now is in its log file; False if that takes long.

    ``positions`` is the directory where the follower says how far it is.
    """
    try:
        last: bytes = container.logs(tail=1, timestamps=True)
    except (docker.errors.DockerException, requests.RequestException):
        return False
    wanted = last.strip().partition(b" ")[0]
    deadline = time.monotonic() + limit_s
    while wanted:
        with contextlib.suppress(OSError):
            # The engine writes times at one width, so that their order is that of their letters.
            if (positions / str(container.id)).read_bytes() >= wanted:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def main(arguments: list[str]) -> int:
    """Follow every container of the run; returns only when the engine is gone for good."""
    run_id, log_dir, positions = arguments[0], Path(arguments[1]), Path(arguments[2])
    client = connect()
    files = Files(log_dir, positions)
    tails: dict[str, Tail] = {}

    def started(name: str, part: str) -> None:
        if name not in tails:
            tails[name] = Tail(client, name, part, files)
        tails[name].started()

    chosen: dict[str, Any] = {"label": f"{labels.RUN}={run_id}", "type": "container"}
    # A following request lasts as long as its container, with long silences.
    client.api.timeout = None
    since = int(time.time()) - _OVERLAP_S
    while True:
        try:
            events = client.events(since=since, filters={**chosen, "event": "start"}, decode=True)
            for each in client.containers.list(filters={"label": chosen["label"]}):
                started(str(each.id), each.labels[labels.PART])
            for event in events:
                since = int(event["time"])
                actor = event["Actor"]
                started(actor["ID"], actor["Attributes"][labels.PART])
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            print(f"The engine's events are followed anew: {error}", file=sys.stderr, flush=True)
            time.sleep(_AGAIN_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
