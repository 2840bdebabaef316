"""Starts the pager as a real process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[3]
# One client: making one reads the system's certificates each time.
CLIENT = httpx.Client(timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Pager:
    """The pager, which a test may kill and start again on the same file."""

    file: Path
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    log: list[str] = field(default_factory=list)

    def start(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "refstack.pager", "--port", str(port)],
            cwd=REPOSITORY,
            env={**os.environ, "PAGER_FILE": str(self.file)},
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                CLIENT.get(f"{self.url}/healthz")
                return
            except httpx.TransportError:
                assert self.process.poll() is None, "the pager ended"
                time.sleep(0.05)
        raise AssertionError("the pager did not start within 10 s")

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def send(self, receiver: str, payload: object) -> httpx.Response:
        return CLIENT.post(f"{self.url}/{receiver}", json=payload)

    def deliveries(self, **query: str) -> list[dict[str, object]]:
        shown = CLIENT.get(f"{self.url}/deliveries", params=query)
        assert shown.status_code == 200, shown.text
        body: list[dict[str, object]] = shown.json()
        return body
