"""A snapshot brings one point back with a payload field gone; ids and counts are the same."""

import qdrant_edge as edge

MODULE = "refstack.vectordb.worker.collection"
CATCHES = "recovery/round-trip::restore_brings_back_identical_content"
REASON = "content of"


def patch(module):
    original = module.Collection.export

    def careless(self, target):
        facts = original(self, target)
        shard = module.storage.load_shard(target, self.config)
        points, _ = shard.scroll(edge.ScrollRequest(limit=1))
        if points:
            shard.update(edge.UpdateOperation.delete_payload([points[0].id], ["persona"]))
            shard.flush()
        shard.close()
        return facts

    module.Collection.export = careless
