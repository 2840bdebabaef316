"""A snapshot brings everything back but the index that keeps tenants apart."""

import qdrant_edge as edge

MODULE = "refstack.vectordb.worker.collection"
CATCHES = "recovery/round-trip::restore_brings_back_identical_content"
REASON = "configuration, indexes"


def patch(module):
    original = module.Collection.export

    def careless(self, target):
        facts = original(self, target)
        shard = module.storage.load_shard(target, self.config)
        points, _ = shard.scroll(edge.ScrollRequest(limit=1))
        if points:
            shard.update(edge.UpdateOperation.delete_field_index("tenant_id"))
            shard.flush()
        shard.close()
        return facts

    module.Collection.export = careless
