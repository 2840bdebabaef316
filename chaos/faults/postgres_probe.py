"""Independent look at a PostgreSQL link that needs more than a few bytes: a query's result."""

from __future__ import annotations

import asyncio
import time

import psycopg

from chaos.faults.probe import Look
from harness.drivers.base import Link


def stream_through(link: Link, dsn: str, count: int, timeout: float) -> Look:
    """Have ``count`` bytes sent through the fault proxy; ``seconds`` is the query alone.

    A log-in or query that fails or takes longer than ``timeout`` seconds is seen as closed or
    silent.
    """
    began = time.perf_counter()

    async def run() -> Look:
        connection = await psycopg.AsyncConnection.connect(dsn, host=link.host, port=link.port)
        async with connection:
            asked = time.perf_counter()
            cursor = await connection.execute("SELECT repeat('x', %s)", (count,))
            row = await cursor.fetchone()
            received = len(row[0]) if row else 0
            return Look("answered", time.perf_counter() - asked, received, 1)

    try:
        return asyncio.run(asyncio.wait_for(run(), timeout))
    except TimeoutError:
        return Look("silent", time.perf_counter() - began)
    except psycopg.Error:
        return Look("closed", time.perf_counter() - began, ended=True)
