"""The gateway caches answers by namespace and question, and a write or delete leaves them."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/side-channels::no_cache_answers_for_somebody_else"
REASON = "very next answer"


def patch(module):
    original = module.Retrieval.answer
    cache = {}

    async def cached(self, identity, request, deadline, *, ask_canary):
        key = (identity.tenant_id, request.model_dump_json())
        if key not in cache:
            cache[key] = await original(self, identity, request, deadline, ask_canary=ask_canary)
        return cache[key]

    module.Retrieval.answer = cached
