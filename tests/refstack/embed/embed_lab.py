"""Starts the embedding worker as a real process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = "first-key-of-the-tests"
OTHER_KEY = "other-key-of-the-tests"
# One client: making one reads the system's certificates each time.
CLIENT = httpx.Client(timeout=30)


def environment(**changed: str) -> dict[str, str]:
    return {
        **os.environ,
        "EMBED_MODELS": "wordllama-256,minilm-384",
        "EMBED_API_KEYS": f"{KEY},{OTHER_KEY}",
        **changed,
    }


@dataclass
class Worker:
    """The worker under test."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def embed(
        self, texts: object, model: object = "wordllama-256", **more: object
    ) -> httpx.Response:
        return self.send({"input": texts, "model": model, **more})

    def send(self, body: object, key: str | None = KEY) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return CLIENT.post(f"{self.url}/v1/embeddings", json=body, headers=headers)

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return CLIENT.get(self.url + path, headers=headers)


def start(log: Path, **changed: str) -> Worker:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "refstack.embed", "--port", str(port)],
            cwd=REPOSITORY,
            env=environment(**changed),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    worker = Worker(f"http://127.0.0.1:{port}", process, log)
    for _ in range(1200):
        try:
            if worker.get("/readyz").status_code == 200:
                return worker
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    stop(worker)
    raise AssertionError(log.read_text())


def stop(worker: Worker) -> None:
    if worker.process.poll() is None:
        worker.process.send_signal(signal.SIGTERM)
        try:
            worker.process.wait(10)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait(10)
