"""When the reranker fails, a query is answered with what was ranked last, whoever had asked."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/under-fault::no_broken_link_leaks_anything[reset to the reranker]"
REASON = "nothing foreign"


def patch(module):
    original, last = module.Retrieval._reranked, []

    async def reranked(self, query, found, deadline):
        try:
            last[:] = await original(self, query, found, deadline)
        except module.UpstreamError:
            if not last:
                raise
        return [*last]

    module.Retrieval._reranked = reranked
