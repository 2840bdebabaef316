"""The reranker's order is used upside down."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "quality/retrieval::labelled_questions_find_their_answers"
REASON = "recall|MRR"


def patch(module):
    original = module.Retrieval._reranked

    async def reversed_order(self, query, found, deadline):
        return list(reversed(await original(self, query, found, deadline)))

    module.Retrieval._reranked = reversed_order
