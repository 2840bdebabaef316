"""The gateway caches answers by tenant and question, short enough that only the persona is
missing from the key."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/side-channels::no_cache_answers_for_somebody_else"
REASON = "same questions"


def patch(module):
    original = module.Retrieval.answer
    cache = {}

    async def cached(self, identity, request, deadline, *, ask_canary):
        key = (identity.tenant_id, request.model_dump_json(exclude={"persona"}))
        if key not in cache:
            cache[key] = await original(self, identity, request, deadline, ask_canary=ask_canary)
        return cache[key]

    module.Retrieval.answer = cached
