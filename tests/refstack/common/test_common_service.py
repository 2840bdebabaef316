"""A service built on the shared plumbing: errors, request ids, logs, start and stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refstack.common.context import RequestContext, request_id, sane_or_new
from refstack.common.health import service_routes
from refstack.common.lifecycle import lifecycle
from refstack.common.problems import EXCEPTION_HANDLERS, Problem
from refstack.common.responses import JsonResponse, read_body

ROOT = Path(__file__).parents[3]

SERVICE = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Route
from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.logs import get_logger
from refstack.common.problems import EXCEPTION_HANDLERS
from refstack.common.responses import JsonResponse
from refstack.common.server import run

async def ready():
    return {}

async def slow(request):
    get_logger().info("began")
    await asyncio.sleep(0.6)
    return JsonResponse({"done": True})

async def broken(request):
    raise ValueError("the text of a document")

def build(environment):
    environment.integer("SIZE", 1, low=1, high=9)
    routes = [Route("/slow", slow), Route("/broken", broken)]
    routes += service_routes("sample", CollectorRegistry(), ready)
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    return RequestContext(app, lambda *_: None)

sys.exit(run("sample", build))
"""


class Sample:
    """A running sample service; its log lines gather in `lines`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, "--port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LOG_LEVEL": "info"},
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = self.wait_for("listening")["port"]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def wait_for(self, event: str) -> dict[str, Any]:
        limit = time.monotonic() + 10
        while time.monotonic() < limit:
            for line in list(self.lines):
                if line["event"] == event:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no log line {event!r} in {self.lines}")


@pytest.fixture
def sample() -> Iterator[Sample]:
    service = Sample()
    yield service
    service.process.kill()
    service.process.wait(5)


def test_sigterm_lets_an_open_request_finish_and_ends_with_status_0(sample: Sample) -> None:
    answers: list[int] = []

    def ask() -> None:
        url = f"http://127.0.0.1:{sample.port}/slow"
        with urllib.request.urlopen(url, timeout=5) as answer:
            answers.append(answer.status)

    client = threading.Thread(target=ask)
    client.start()
    sample.wait_for("began")
    sample.process.send_signal(signal.SIGTERM)
    assert sample.process.wait(5) == 0
    client.join(5)
    assert answers == [200]


def test_a_failure_is_a_problem_and_its_text_stays_out_of_log_and_answer(sample: Sample) -> None:
    answer = httpx.get(f"http://127.0.0.1:{sample.port}/broken", timeout=5)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    failed = sample.wait_for("request_failed")
    assert failed["trace_id"] == answer.json()["trace_id"]
    assert failed["error"] == "ValueError"
    assert failed["service"] == "sample"
    assert any("broken" in place for place in failed["error_at"])
    assert "the text of a document" not in json.dumps(sample.lines) + answer.text


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["--port", "0"], {"SIZE": "0"}, "SIZE holds '0'"),
        (["--port", "0"], {"LOG_LEVEL": "loud"}, "LOG_LEVEL holds 'loud'"),
        (["--port", "99999"], {}, "127.0.0.1:99999"),
    ],
)
def test_a_bad_setting_ends_the_process_with_status_2_and_one_line(
    arguments: list[str], variables: dict[str, str], says: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SERVICE, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def application(seen: list[tuple[str, str, int]]) -> RequestContext:
    async def echo(request: Request) -> Response:
        body = await read_body(request, 10)
        return JsonResponse({"id": request_id(), "size": len(body)})

    async def refuse(request: Request) -> Response:
        raise Problem(503, "The store is away.", kind="store-away", headers={"Retry-After": "2"})

    async def ready() -> dict[str, str | None]:
        return {"store": "refused", "cache": None}

    routes = [
        Route("/echo/{name}", echo, methods=["POST"]),
        Route("/refuse", refuse),
        *service_routes("sample", CollectorRegistry(), ready, colour="blue"),
    ]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    return RequestContext(
        app, lambda route, method, status, _s: seen.append((route, method, status))
    )


def ask(method: str, path: str, **kwargs: Any) -> tuple[httpx.Response, tuple[str, str, int]]:
    seen: list[tuple[str, str, int]] = []

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(application(seen))
        async with httpx.AsyncClient(transport=transport, base_url="http://sample") as client:
            return await client.request(method, path, **kwargs)

    return asyncio.run(once()), seen[0]


def test_a_sane_request_id_is_taken_over_and_a_strange_one_replaced() -> None:
    answer, _ = ask("POST", "/echo/a", headers={"X-Request-Id": "abc-12345"}, content=b"x")
    assert answer.headers["X-Request-Id"] == answer.json()["id"] == "abc-12345"
    for strange in ("short", "a" * 65, "with space in", "break\\nline", '{"a":"b"}'):
        answer, _ = ask("POST", "/echo/a", headers={"X-Request-Id": strange}, content=b"x")
        assert answer.headers["X-Request-Id"] == answer.json()["id"] != strange
    assert sane_or_new("good-id-1\n") != "good-id-1\n"


def test_measurements_are_labelled_with_the_route_template() -> None:
    assert ask("POST", "/echo/tenant-7", content=b"x")[1] == ("/echo/{name}", "POST", 200)
    assert ask("GET", "/never/heard")[1] == ("unmatched", "GET", 404)
    assert ask("BREW", "/refuse")[1] == ("/refuse", "other", 405)


def test_every_error_is_a_problem_document() -> None:
    answer, _ = ask("GET", "/refuse")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    body = answer.json()
    assert body.pop("trace_id") == answer.headers["X-Request-Id"]
    assert body == {
        "type": "urn:ragdrill:problem:store-away",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The store is away.",
        "instance": "/refuse",
    }
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/refuse", 405)):
        answer, _ = ask(method, path)
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length() -> None:
    async def parts() -> Any:
        for _ in range(3):
            yield b"123456"

    assert ask("POST", "/echo/a", content=b"1" * 11)[0].status_code == 413
    assert ask("POST", "/echo/a", content=parts())[0].status_code == 413
    assert ask("POST", "/echo/a", content=b"1" * 10)[0].status_code == 200


def test_readiness_names_what_is_missing_and_says_no_while_stopping() -> None:
    answer, _ = ask("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json()["dependencies"] == {"store": "refused", "cache": "ok"}
    assert ask("GET", "/healthz")[0].json()["colour"] == "blue"
    lifecycle.draining = True
    try:
        answer, _ = ask("GET", "/readyz")
        assert answer.json()["dependencies"]["process"] == "stopping"
        assert answer.headers["Connection"] == "close"
        assert ask("GET", "/healthz")[0].status_code == 200
    finally:
        lifecycle.draining = False
