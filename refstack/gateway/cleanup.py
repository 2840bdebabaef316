"""Removal of points that no longer answer or never will, as listed in `rag.vector_cleanup`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID

from refstack.common.logs import get_logger
from refstack.gateway.deadline import Deadline
from refstack.gateway.metadata import Connection, MetadataStore
from refstack.gateway.spaces import Spaces
from refstack.gateway.upstream import UpstreamError
from refstack.gateway.vectors import VectorStore

AT_ONCE = 64
ROUND_S = 6.0
"""Seconds that one round of the clean-up may take."""


async def remove_everywhere(
    vectors: VectorStore,
    spaces: Spaces,
    tenant_id: str,
    points: Sequence[UUID],
    deadline: Deadline,
) -> None:
    """Remove a tenant's points from every model's collection, those of former models included.

    Raises `UpstreamError`.
    """
    for collection in await vectors.collections(deadline):
        if spaces.owns(collection):
            await vectors.remove(collection, tenant_id, points, deadline)


async def forget(connection: Connection, done: Sequence[UUID]) -> None:
    """Take removals that are done off the list."""
    await connection.execute("SELECT rag.forget_cleanup(%s::uuid[])", [list(done)])


class Cleaner:
    """Works off the list every `every_s` seconds, beside the requests."""

    def __init__(
        self, metadata: MetadataStore, vectors: VectorStore, spaces: Spaces, every_s: float
    ) -> None:
        self._metadata = metadata
        self._vectors = vectors
        self._spaces = spaces
        self._every_s = every_s

    async def keep_clean(self) -> None:
        """Clean again and again, until cancelled."""
        while True:
            # Two colours that started together shall not go on working at the same moment.
            await asyncio.sleep(self._every_s * random.uniform(0.5, 1.0))
            try:
                while await self.clean_once() == AT_ONCE:
                    pass
            except UpstreamError as error:
                get_logger().warning("cleanup_put_off", reason=str(error))
            except Exception as error:
                get_logger().error("cleanup_failed", exc_info=error)

    async def clean_once(self) -> int:
        """Work off at most `AT_ONCE` entries that are due; returns how many there were.

        The entries stay locked meanwhile, so that a slow write that is being removed cannot be
        committed. Raises `UpstreamError`; then they stay on the list.
        """
        deadline = Deadline(ROUND_S)

        async def work(connection: Connection) -> int:
            async with connection.transaction():
                cursor = await connection.execute("SELECT * FROM rag.due_cleanup(%s)", [AT_ONCE])
                rows = await cursor.fetchall()
                by_tenant: dict[str, list[UUID]] = {}
                for _, tenant_id, points in rows:
                    by_tenant.setdefault(tenant_id, []).extend(points)
                for tenant_id, points in by_tenant.items():
                    await remove_everywhere(
                        self._vectors, self._spaces, tenant_id, points, deadline
                    )
                if rows:
                    await forget(connection, [row[0] for row in rows])
                return len(rows)

        count = await self._metadata.as_itself(work, deadline, timeout_s=ROUND_S)
        if count:
            get_logger().info("cleaned", entries=count)
        return count
