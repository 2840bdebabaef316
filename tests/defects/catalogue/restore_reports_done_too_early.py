"""A restore is answered with success and never puts the data in place."""

MODULE = "refstack.vectordb.snapshots"
CATCHES = "recovery/round-trip::restore_brings_back_identical_content"
REASON = "restored collection|same collections"


def patch(module):
    async def nothing(self, collection, source):
        return None

    module.Snapshots.restore = nothing
