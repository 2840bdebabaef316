"""Starts a service of the reference stack as a real process, which a test may kill and start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
# One client: making one reads the system's certificates each time.
CLIENT = httpx.Client(timeout=10, trust_env=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Service:
    """``python -m <module>`` with these settings, always on the same port."""

    module: str
    settings: Mapping[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module, "--port", str(self.port)],
            cwd=REPOSITORY,
            env={**os.environ, **self.settings},
            stdout=subprocess.DEVNULL,
        )
        for _ in range(400):
            try:
                CLIENT.get(f"{self.url}/healthz")
                return
            except httpx.TransportError:
                assert self.process.poll() is None, f"{self.module} ended"
                time.sleep(0.05)
        raise AssertionError(f"{self.module} did not start within 20 s")

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it if it runs; returns its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(10)

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        lines = CLIENT.get(f"{self.url}/metrics").text.splitlines()
        rows = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        assert rows, f"{self.module} exports no {name}"
        return sum(float(row.rpartition(" ")[2]) for row in rows)


def refusal(module: str, settings: Mapping[str, str]) -> tuple[int, str]:
    """Exit status and words of a service that is expected to refuse its settings."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--port", "0"],
        cwd=REPOSITORY,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr
