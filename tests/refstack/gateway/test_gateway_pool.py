"""The pool of connections to the metadata store loses none, whatever its waiters give up on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from types import SimpleNamespace
from typing import Any

from gateway_world import World
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from refstack.gateway.deadline import Deadline
from refstack.gateway.metadata import Connection, MetadataStore
from refstack.gateway.upstream import UpstreamError


def metrics() -> Any:
    """The three of the gateway's metrics that the store writes."""
    own = CollectorRegistry()
    return SimpleNamespace(
        breaker_open=Gauge("breaker_open", "-", ["upstream"], registry=own),
        upstream_latency=Histogram("latency", "-", ["upstream"], registry=own),
        upstream_errors=Counter("errors", "-", ["upstream", "kind"], registry=own),
    )


async def server_process(connection: Connection) -> int:
    await connection.execute("SELECT pg_sleep(0.3)")  # so that two at a time need two connections
    return connection.info.backend_pid


async def answers(store: MetadataStore) -> bool:
    try:
        await store.as_itself(server_process, Deadline(5))
    except UpstreamError:
        return False
    return True


def test_a_check_that_nobody_waits_for_any_more_gives_its_connections_back(world: World) -> None:
    async def story() -> bool:
        store = MetadataStore(world.postgres.dsn(), metrics())
        await store.open()
        try:
            await store._pool.resize(2, 2)
            pair = [store.as_itself(server_process, Deadline(20)) for _ in range(2)]
            stopped = set(await asyncio.gather(*pair))
            assert len(stopped) == 2
            for process in stopped:
                os.kill(process, signal.SIGSTOP)
            try:
                for _ in range(3):
                    await store.check_siblings(0.1)
            finally:
                for process in stopped:
                    os.kill(process, signal.SIGCONT)
            deadline = time.monotonic() + 30
            while not (well := await answers(store)) and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            return well
        finally:
            await store.close()

    assert asyncio.run(story())


def test_a_connection_that_answers_nothing_is_given_up_by_a_check(world: World) -> None:
    async def story() -> int:
        store = MetadataStore(world.postgres.dsn(), metrics())
        await store.open()
        try:
            await store._pool.resize(1, 1)
            stopped = await store.as_itself(server_process, Deadline(20))
            os.kill(stopped, signal.SIGSTOP)
            try:
                await store.check_siblings(20)
                return await store.as_itself(server_process, Deadline(20), timeout_s=20) - stopped
            finally:
                os.kill(stopped, signal.SIGCONT)
        finally:
            await store.close()

    assert asyncio.run(story()) != 0, "another connection served, for the first one was stopped"


class Wire:
    """A way to the database that can swallow, for good, what its connections carry; those that
    come later are well."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.dead: set[asyncio.Transport] = set()
        self._alive: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._alive.append(writer)
        pair = (self._carry(reader, back, writer), self._carry(there, writer, writer))
        await asyncio.gather(*pair, return_exceptions=True)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, key: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65536):
            if key.transport not in self.dead:
                sink.write(data)
        if key.transport not in self.dead:
            sink.close()

    def swallow(self) -> None:
        """From now on nothing comes through what is open, but for one, which is broken."""
        self.dead = {writer.transport for writer in self._alive}
        self._alive.pop(0).transport.abort()

    def stop(self) -> None:
        self._server.close()
        for writer in self._alive:
            writer.transport.abort()


CONNECTIONS = 4


async def at_once(store: MetadataStore) -> int:
    """How many connections serve as many calls at the same time."""
    calls = [store.as_itself(server_process, Deadline(5)) for _ in range(CONNECTIONS)]
    told = await asyncio.gather(*calls, return_exceptions=True)
    return len({each for each in told if isinstance(each, int)})


def test_the_breaker_closes_by_itself_though_every_connection_fell_silent(world: World) -> None:
    """As when a link swallows what was under way, breaks one connection, and then is well: the
    pool serves as many at once as before, and not one after the other."""

    async def story() -> tuple[bool, int]:
        wire = Wire(world.postgres.port)
        port = await wire.start()
        store = MetadataStore(f"postgresql://owner@127.0.0.1:{port}/postgres", metrics())
        await store.open()
        try:
            await store._pool.resize(CONNECTIONS, CONNECTIONS)
            deadline = time.monotonic() + 60
            while await at_once(store) < CONNECTIONS:
                assert time.monotonic() < deadline, "the connections to fall silent"
            wire.swallow()
            # As who finds a broken connection does; all the others are idle, and say nothing.
            await store.check_siblings(0.1)
            # Until enough calls have failed for the breaker to open ...
            while not store.breaker.is_open and time.monotonic() < deadline:
                calls = [store.as_itself(server_process, Deadline(1)) for _ in range(12)]
                await asyncio.gather(*calls, return_exceptions=True)
            opened = store.breaker.is_open
            # ... and then as customers that come again and again.
            while (found := await at_once(store)) < CONNECTIONS and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            return opened and not store.breaker.is_open, found
        finally:
            await store.close()
            wire.stop()

    assert asyncio.run(story()) == (True, CONNECTIONS)
