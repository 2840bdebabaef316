"""Fixtures of the fault proxy's tests.

They run against a server of ours, or against any server whose API is at FAULTPROXY_URL and that
reaches this machine's loopback addresses: `FAULTPROXY_URL=http://127.0.0.1:8474 pytest ...`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest
from faultproxy_lab import Control, Echo, Proxy, Server
from http_lab import Site


@pytest.fixture(scope="session")
def control() -> Iterator[Control]:
    """The API of the server under test."""
    url = os.environ.get("FAULTPROXY_URL")
    if url:
        yield Control(url.rstrip("/"))
        return
    server = Server()
    try:
        yield Control(server.url)
    finally:
        server.stop()


@pytest.fixture
def ours(control: Control) -> None:
    """Skips a test of a deliberate departure when the server under test is not ours."""
    if control.call("GET", "/healthz").status_code != 200:
        pytest.skip("a departure of our server; FAULTPROXY_URL names another")


@pytest.fixture
def echo() -> Iterator[Echo]:
    """An upstream that echoes."""
    upstream = Echo()
    yield upstream
    upstream.close()


@pytest.fixture
def proxy(control: Control, echo: Echo) -> Iterator[Proxy]:
    """A proxy in front of `echo`, removed afterwards."""
    made = Proxy(control, f"test-{uuid.uuid4().hex[:8]}", echo.address)
    yield made
    control.call("DELETE", made.path)


@pytest.fixture
def site(control: Control) -> Iterator[Callable[..., Site]]:
    """Make an upstream with these answers and a proxy in front of it."""
    made: list[Site] = []

    def make(*answers: bytes) -> Site:
        made.append(Site(control, f"http-{uuid.uuid4().hex[:8]}", *answers))
        return made[-1]

    yield make
    for one in made:
        one.close()
