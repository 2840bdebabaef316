"""Each fault of the catalogue lands, is proven on the data path, and heals."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from chaos.faults.base import Fault
from chaos.faults.probe import look
from chaos.faults.toxics import ToxicControl
from fixtures.faults import make_fault
from harness.core.errors import TargetError, UsageError
from harness.core.run import CHECKOUT
from harness.drivers.base import Endpoint, Link

BODY = b"x" * 20_000


class Answering(http.server.BaseHTTPRequestHandler):
    """A role that answers 20 kB to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


SERVE = (
    "import http.server,sys; sys.path.insert(0, sys.argv[2]);"
    "from test_faults import Answering;"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Answering).serve_forever()"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_open(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if look("127.0.0.1", port, "embed", timeout=0.5).outcome == "answered":
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing answers on port {port}")


@dataclass
class SmallTarget:
    """A target of one link and one role, with the capabilities that faults ask for."""

    proxy_url: str
    link: Link
    role_port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    name: str = "small"
    run_id: str = "run"
    scratch: Path = Path()
    allow: frozenset[str] = frozenset({"fault"})

    def up(self) -> None: ...
    def down(self) -> None: ...
    def roles(self) -> tuple[str, ...]:
        return ("embed",)

    def endpoint(self, role: str) -> Endpoint:
        return Endpoint(role, f"http://127.0.0.1:{self.role_port}", "127.0.0.1", self.role_port)

    def ready(self, role: str, timeout_s: float = 30.0) -> None:
        wait_open(self.role_port)

    def logs(self, role: str, tail: int | None = None) -> str:
        return ""

    def components(self) -> tuple[()]:
        return ()

    def credentials(self, role: str) -> dict[str, str]:
        return {}

    def links(self) -> tuple[Link, ...]:
        return (self.link,)

    def faultproxy(self) -> str:
        return self.proxy_url

    def restart(self, role: str, env: object = None) -> None:
        raise NotImplementedError

    def stop(self, role: str) -> None:
        raise NotImplementedError

    def start(self, role: str) -> None:
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", SERVE, str(self.role_port), here]
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
        self.processes.append(subprocess.Popen(command, env=environment))
        wait_open(self.role_port)

    def kill(self, role: str) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait(10)

    def pause(self, role: str) -> None:
        self.processes[-1].send_signal(signal.SIGSTOP)

    def resume(self, role: str) -> None:
        self.processes[-1].send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def target() -> Iterator[SmallTarget]:
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    control = free_port()
    proxy = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "refstack.faultproxy",
            "--host",
            "127.0.0.1",
            "--port",
            str(control),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{control}"
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/version", timeout=1)
            break
        except httpx.HTTPError:
            time.sleep(0.05)
    port = free_port()
    to = f"127.0.0.1:{upstream.server_port}"
    httpx.post(
        f"{url}/proxies",
        json={"name": "gateway-embed", "listen": f"127.0.0.1:{port}", "upstream": to},
    ).raise_for_status()
    link = Link(
        "gateway-embed", "gateway", "embed", f"http://127.0.0.1:{port}", "127.0.0.1", port, to
    )
    small = SmallTarget(url, link, free_port())
    small.start("embed")
    yield small
    for process in [proxy, *small.processes]:
        process.kill()
        process.wait(10)
    upstream.shutdown()


EXAMPLES: dict[str, dict[str, object]] = {
    "latency": {"link": "gateway-embed", "latency_ms": 120, "jitter_ms": 20},
    "black-hole": {"link": "gateway-embed"},
    "reset": {"link": "gateway-embed"},
    "bandwidth": {"link": "gateway-embed", "rate_kb_s": 50},
    "down": {"link": "gateway-embed"},
    "kill": {"role": "embed"},
    "pause": {"role": "embed"},
}


@pytest.mark.parametrize("slug", sorted(EXAMPLES))
def test_a_fault_lands_and_heals(slug: str, target: SmallTarget) -> None:
    fault = make_fault(slug, **EXAMPLES[slug])
    before = fault.before(target)
    try:
        fault.inject(target)
        landed = fault.prove(target, before)
    finally:
        fault.heal(target)
    healed = fault.prove_healed(target, before)
    assert landed.ok, landed.seen
    assert healed.ok, healed.seen
    fault.heal(target)
    assert fault.prove_healed(target, before).ok, "healing twice must be harmless"


@pytest.mark.parametrize("slug", sorted(EXAMPLES))
def test_a_fault_that_was_never_injected_is_not_proven(slug: str, target: SmallTarget) -> None:
    fault = make_fault(slug, **EXAMPLES[slug])
    before = fault.before(target)
    assert not fault.prove(target, before).ok


def test_a_fault_on_the_role_itself_does_not_prove_one_on_the_link(target: SmallTarget) -> None:
    """If the upstream is gone too, silence on the link says nothing about the link."""
    fault = make_fault("down", link="gateway-embed")
    before = fault.before(target)
    broken = Link(**{**vars(target.link), "upstream": f"127.0.0.1:{free_port()}"})
    healthy, target.link = target.link, broken
    try:
        fault.inject(target)
        assert not fault.prove(target, before).ok
    finally:
        target.link = healthy
        fault.heal(target)


@pytest.mark.parametrize(
    ("slug", "arguments", "told"),
    [
        ("latancy", {}, "latency"),
        ("latency", {"link": "gateway-embed", "latency_ms": 0}, "1 to 60000 ms"),
        ("latency", {"link": "gateway-embed", "latency_ms": 10, "jitter_ms": 11}, "0 to 10 ms"),
        ("latency", {"link": "", "latency_ms": 10}, "a link's name"),
        ("latency", {"link": "gateway-embed", "latancy": 10}, "latancy"),
        ("bandwidth", {"link": "gateway-embed", "rate_kb_s": -1}, "kB/s"),
        ("kill", {"role": "frontend"}, "vectordb"),
    ],
)
def test_bad_arguments_are_refused_before_anything_breaks(
    slug: str, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_fault(slug, **arguments)
    assert told in str(caught.value)


def test_an_unknown_link_names_the_known_ones(target: SmallTarget) -> None:
    fault: Fault = make_fault("latency", link="gateway-moon", latency_ms=10)
    with pytest.raises(TargetError, match="gateway-embed"):
        fault.before(target)


def test_a_control_api_that_fails_is_not_swallowed(target: SmallTarget) -> None:
    control = ToxicControl(target)
    with pytest.raises(TargetError, match="refused"):
        control.add("gateway-embed", "x", "latancy", "downstream", {})
