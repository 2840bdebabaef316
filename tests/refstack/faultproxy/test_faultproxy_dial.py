"""An upstream's name is looked up again where connecting to its address took long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from refstack.faultproxy import address
from refstack.faultproxy.dial import dial

UPSTREAM = "upstream.example:80"
LIMIT_S = 30.0


class Upstream:
    """A server that takes no connection before it is let: a first packet to it is lost."""

    def __init__(self, *, deaf: bool) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.endpoint = address.Endpoint("127.0.0.1", self.listening.getsockname()[1])
        self.waiting: list[socket.socket] = []
        while deaf and len(self.waiting) < 8:
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", self.endpoint.port))
            self.waiting.append(one)

    def hear(self) -> None:
        """Take whoever waits, so that the next one is heard when it asks again."""
        for one in self.waiting:
            one.close()
        self.listening.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listening.accept()[0].close()

    def close(self) -> None:
        for one in (*self.waiting, self.listening):
            one.close()


@pytest.fixture
def deaf() -> Iterator[Upstream]:
    """One that loses the first packet."""
    with contextlib.closing(Upstream(deaf=True)) as made:
        yield made


@pytest.fixture
def other() -> Iterator[Upstream]:
    """One that answers at once."""
    with contextlib.closing(Upstream(deaf=False)) as made:
        yield made


def connected_to(monkeypatch: pytest.MonkeyPatch, deaf: Upstream, then: Upstream) -> list[int]:
    """Dial a name that means the deaf one, and ``then`` from the second time on.

    Returns the port that the connection leads to, and how often the name was looked up.
    """
    asked = 0

    async def resolve(upstream: str, timeout_s: float) -> list[address.Endpoint]:
        nonlocal asked
        assert upstream == UPSTREAM
        asked += 1
        return [deaf.endpoint if asked == 1 else then.endpoint]

    monkeypatch.setattr(address, "resolve", resolve)

    async def ask() -> int:
        dialling = asyncio.create_task(dial(UPSTREAM, LIMIT_S))
        await asyncio.sleep(0.1)
        assert not dialling.done(), "the first packet was not lost, so this shows nothing"
        while not dialling.done():
            deaf.hear()
            await asyncio.sleep(0.02)
        with contextlib.closing(dialling.result()) as made:
            return int(made.getpeername()[1])

    return [asyncio.run(ask()), asked]


def test_an_address_that_changed_hands_meanwhile_is_left(
    monkeypatch: pytest.MonkeyPatch, deaf: Upstream, other: Upstream
) -> None:
    port, asked = connected_to(monkeypatch, deaf, other)
    assert (port, asked) == (other.endpoint.port, 3)


def test_an_address_that_stayed_is_kept(monkeypatch: pytest.MonkeyPatch, deaf: Upstream) -> None:
    port, asked = connected_to(monkeypatch, deaf, deaf)
    assert (port, asked) == (deaf.endpoint.port, 2)


def test_what_answers_at_once_is_looked_up_once(
    monkeypatch: pytest.MonkeyPatch, other: Upstream
) -> None:
    asked: list[str] = []

    async def resolve(upstream: str, timeout_s: float) -> list[address.Endpoint]:
        asked.append(upstream)
        return [other.endpoint]

    monkeypatch.setattr(address, "resolve", resolve)

    async def ask() -> None:
        (await dial(UPSTREAM, LIMIT_S)).close()

    asyncio.run(ask())
    assert asked == [UPSTREAM]
