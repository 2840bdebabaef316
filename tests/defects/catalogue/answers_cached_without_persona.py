"""The gateway caches answers by tenant and question, and the persona is no part of the key."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
REASON = "foreign marker"


def patch(module):
    original = module.Retrieval.answer
    cache = {}

    async def cached(self, identity, request, deadline, *, ask_canary):
        key = (identity.tenant_id, request.query, request.top_k, request.rerank)
        if key not in cache:
            cache[key] = await original(self, identity, request, deadline, ask_canary=ask_canary)
        return cache[key]

    module.Retrieval.answer = cached
