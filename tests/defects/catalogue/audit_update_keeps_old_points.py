"""The gateway leaves the points of a replaced document where they were."""

MODULE = "refstack.gateway.ingest"
CATCHES = "isolation/audit::ordinary_work_is_no_leak_and_leaves_none"
REASON = "no leak"


def patch(module):
    async def nothing(self, identity, replaced, deadline):
        done = [cleanup_id for cleanup_id, _ in replaced]
        await self._metadata.as_itself(lambda connection: module.forget(connection, done), deadline)

    module.Ingest._remove_replaced = nothing
