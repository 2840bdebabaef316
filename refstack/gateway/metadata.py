"""The metadata store: PostgreSQL, entered with the asker's claims and the role that RLS binds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from refstack.gateway.breaker import Breaker
from refstack.gateway.deadline import Deadline, bounded
from refstack.gateway.metrics import GatewayMetrics
from refstack.gateway.tokens import Identity
from refstack.gateway.upstream import UpstreamError

T = TypeVar("T")
Row = tuple[Any, ...]
Connection = AsyncConnection[Row]
TIMEOUT_S = 3.0
ATTEMPTS = 3
CHECK_S = 1.0
"""How long an idle connection may take to answer before it counts as broken."""
PAUSE_S = 0.02
"""Upper end of the first random pause before another try; it doubles with each."""

_ENTER = "BEGIN; SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', %s, true); "


@dataclass(frozen=True)
class Statement:
    """One SQL statement with `%s` placeholders, without a semicolon."""

    sql: str
    parameters: Sequence[Any] = ()


class _Pool(AsyncConnectionPool[Connection]):
    """A pool whose check gives up a connection that neither answers nor breaks."""

    @staticmethod
    async def check_connection(conn: Connection) -> None:
        """Raise `psycopg.OperationalError` unless the connection answers within `CHECK_S`."""
        try:
            await bounded(AsyncConnectionPool.check_connection(conn), CHECK_S)
        except TimeoutError:
            await conn.close()
            raise psycopg.OperationalError("the connection did not answer") from None


class MetadataStore:
    """A pool of connections as role `rag_gateway`, which by itself may read nothing.

    All methods raise `UpstreamError` when the database does not serve.
    """

    def __init__(self, database_url: str, metrics: GatewayMetrics) -> None:
        gauge = metrics.breaker_open.labels("metadata")
        self.breaker = Breaker(lambda is_open: gauge.set(int(is_open)))
        self._latency = metrics.upstream_latency.labels("metadata")
        self._errors = metrics.upstream_errors
        self._checking: asyncio.Task[None] | None = None
        self._pool = _Pool(
            database_url,
            kwargs={
                "autocommit": True,
                "cursor_factory": AsyncClientCursor,
                "prepare_threshold": None,
                "connect_timeout": 3,
                "keepalives_idle": 10,
                "tcp_user_timeout": 5_000,
                "application_name": "rag-gateway",
                "options": "-c statement_timeout=8000 -c idle_in_transaction_session_timeout=8000",
            },
            min_size=2,
            max_size=10,
            max_waiting=200,
            timeout=TIMEOUT_S,
            reconnect_timeout=2,
            open=False,
            name="metadata",
        )

    async def open(self) -> None:
        """Begin to connect; returns before any connection is there."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections, waiting 0.2 s at most."""
        await self._pool.close(timeout=0.2)

    async def as_identity(
        self,
        identity: Identity,
        statements: Sequence[Statement],
        deadline: Deadline,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> list[list[Row]]:
        """Run statements in one transaction under the identity's claims, in one round trip.

        Returns the rows of each statement. A lost connection is tried again, so statements
        must be safe to repeat. Errors in what is asked stay `psycopg.Error`.
        """
        sql = _ENTER + "".join(statement.sql + "; " for statement in statements) + "COMMIT"
        parameters: list[Any] = [identity.claims()]
        for statement in statements:
            parameters += statement.parameters
        # What the first three and the last statement return is not asked for.
        first, last = 3, 3 + len(statements)

        async def run(connection: Connection) -> list[list[Row]]:
            cursor = await connection.execute(sql, parameters)
            results: list[list[Row]] = []
            more: bool | None = True
            while more:
                results.append(await cursor.fetchall() if cursor.description else [])
                more = cursor.nextset()
            return results[first:last]

        return await self.as_itself(run, deadline, timeout_s=timeout_s)

    async def as_itself(
        self,
        work: Callable[[Connection], Awaitable[T]],
        deadline: Deadline,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> T:
        """Run work as `rag_gateway`, which may call the functions of the clean-up only.

        A lost connection is tried again, so the work must be safe to repeat.
        """
        if not self.breaker.allows():
            self._errors.labels("metadata", "breaker_open").inc()
            raise UpstreamError("metadata", "breaker_open")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result = await self._once(work, deadline.within(timeout_s))
            except UpstreamError as error:
                if error.kind == "connect" and attempt < ATTEMPTS and deadline.remaining() > 0:
                    await self.check_siblings(deadline.within(TIMEOUT_S))
                    # Apart from each other, or all who lost theirs would storm the pool at once.
                    pause = random.uniform(0, PAUSE_S * 2**attempt)
                    await asyncio.sleep(deadline.within(pause))
                    continue
                self.breaker.failed()
                raise
            self.breaker.succeeded()
            return result
        raise AssertionError("the last try returns or raises")

    async def check_siblings(self, seconds: float) -> None:
        """One broken connection means that the idle ones are broken as well: look at them.

        The pool's check takes hold of all idle connections, and would never give them back if it
        were cancelled: so only the wait for it is bounded, and it runs to its end, one at a time.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.ensure_future(self._pool.check())
            self._checking.add_done_callback(_take_note)
        await asyncio.wait({self._checking}, timeout=seconds)

    async def _once(self, work: Callable[[Connection], Awaitable[T]], seconds: float) -> T:
        begun = time.perf_counter()
        try:
            return await bounded(self._borrowed(work), seconds)
        except (TimeoutError, PoolTimeout, TooManyRequests, psycopg.errors.QueryCanceled):
            # A full queue is no broken connection: to try again would only make it longer.
            kind = "timeout"
        except psycopg.OperationalError:
            kind = "connect"
        finally:
            self._latency.observe(time.perf_counter() - begun)
        self._errors.labels("metadata", kind).inc()
        raise UpstreamError("metadata", kind)

    async def _borrowed(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._pool.connection() as connection:
            return await work(connection)


def _take_note(checked: asyncio.Task[None]) -> None:
    if not checked.cancelled():
        checked.exception()  # or the event loop would log it as never retrieved
