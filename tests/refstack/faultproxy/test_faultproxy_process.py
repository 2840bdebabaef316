"""`python -m refstack.faultproxy` as a process: options, configuration, seed, signals, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultproxy_lab import Control, Echo, Proxy, Server, refusing_address


@pytest.fixture
def upstream() -> Iterator[Echo]:
    """An upstream that echoes."""
    echo = Echo()
    yield echo
    echo.close()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [sys.executable, "-m", "refstack.faultproxy", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)


def test_it_starts_light_populates_from_its_configuration_and_ends_cleanly(
    tmp_path: Path, upstream: Echo
) -> None:
    """Go's single dashes work; the first log line says where it listens."""
    config = tmp_path / "proxies.json"
    entry = {"name": "from-file", "listen": "127.0.0.1:0", "upstream": upstream.address}
    config.write_text(json.dumps([entry]))
    server = Server("-host", "localhost", "-config", str(config), "-runtime-metrics")
    try:
        control = Control(server.url)
        assert list(control.ok("GET", "/proxies")) == ["from-file"]
        assert "process_open_fds " in control.call("GET", "/metrics").text
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        resident_kib = int(status.split("VmRSS:")[1].split()[0])
        assert resident_kib < 44 * 1024
    finally:
        assert server.stop() == 0


def test_without_metrics_there_is_no_metrics_route() -> None:
    """As in the original without its flag."""
    server = Server("--no-proxy-metrics")
    try:
        assert Control(server.url).call("GET", "/metrics").text == "404 page not found\n"
    finally:
        server.stop()


def spared(server: Server, upstream: Echo, count: int = 24) -> list[bool]:
    """Which of the next connections a toxic of toxicity 0.5 leaves alone."""
    proxy = Proxy(Control(server.url), "seeded", upstream.address)
    proxy.toxic("limit_data", "upstream", bytes=0, toxicity=0.5)
    return [proxy.connect().echo() == b"ping" for _ in range(count)]


def test_the_seed_repeats_every_draw(upstream: Echo) -> None:
    """Same seed, same connections hit; another seed, others."""
    outcomes = []
    for seed in ("11", "11", "12"):
        server = Server("--seed", seed)
        try:
            outcomes.append(spared(server, upstream))
        finally:
            server.stop()
    assert outcomes[0] == outcomes[1] != outcomes[2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("[", "not JSON"),
        ('[{"name": "x"}]', "missing required field: upstream at proxy 1"),
    ],
)
def test_a_configuration_that_cannot_be_used_ends_it(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    """Status 2 and one line that says what was expected."""
    config = tmp_path / "proxies.json"
    if content is not None:
        config.write_text(content)
    ended = run("--port", "0", "--config", str(config))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--config holds" in ended.stderr
    assert reason in ended.stderr


def test_a_taken_port_ends_it() -> None:
    """Status 2 and one line."""
    with refusing_address() as taken:
        ended = run("--host", "127.0.0.1", "--port", taken.rpartition(":")[2])
    assert ended.returncode == 2
    assert "Address already in use" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_bad_log_level_and_a_bad_option_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 2."""
    assert run("--sead", "1").returncode == 2
    assert "--dial-timeout holds 'nan'" in run("--dial-timeout", "nan").stderr
    monkeypatch.setenv("LOG_LEVEL", "loud")
    ended = run("--port", "0")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "LOG_LEVEL holds 'loud'" in ended.stderr


def test_it_tells_the_version_of_the_contract() -> None:
    """In the original's words."""
    assert run("-version").stdout == "toxiproxy-server version 2.12.0\n"
