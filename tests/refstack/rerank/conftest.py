"""The reranker as a real process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = "a-key-for-the-tests"


@pytest.fixture(scope="session")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("rerank") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "refstack.rerank", "--port", str(port)],
            cwd=REPOSITORY,
            env={**os.environ, "RERANK_API_KEYS": KEY},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    headers = {"Authorization": f"Bearer {KEY}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            for _ in range(1200):
                try:
                    if client.get("/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            else:
                raise AssertionError(log.read_text())
            yield client
        assert "an unlikely word" not in log.read_text()
        assert KEY not in log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
