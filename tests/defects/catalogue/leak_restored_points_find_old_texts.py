"""Texts are read from a cache by tenant, persona and chunk, which a deletion does not reach: as
soon as a restore brings the points back, the deleted answers again."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/under-fault::a_restore_leaks_nothing"
REASON = "does not answer again"


def patch(module):
    texts = module.Retrieval._texts
    cache = {}

    async def cached(self, identity, request, hits, deadline):
        space = cache.setdefault((identity.tenant_id, request.persona), {})
        for each in await texts(self, identity, request, hits, deadline):
            space[each.chunk_id] = each
        return [space[hit.chunk_id] for hit in hits if hit.chunk_id in space]

    module.Retrieval._texts = cached
