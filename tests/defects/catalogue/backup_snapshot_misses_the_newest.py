"""A snapshot misses what came after the last flush, and only a restore can tell."""

import qdrant_edge as edge

MODULE = "refstack.vectordb.worker.collection"
CATCHES = "maintain/snapshot-nightly::the_nightly_backup_is_whole_and_copies_what_changed"
REASON = "lacks points that were there all the time"


def patch(module):
    original = module.Collection.export

    def early(self, target):
        facts = original(self, target)
        shard = module.storage.load_shard(target, self.config)
        points, _ = shard.scroll(edge.ScrollRequest(limit=10_000, with_payload=True))
        if points:
            newest = max(points, key=lambda point: point.payload["ingested_at"])
            shard.update(edge.UpdateOperation.delete_points([newest.id]))
            shard.flush()
        shard.close()
        return facts

    module.Collection.export = early
