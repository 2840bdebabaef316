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
