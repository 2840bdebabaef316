"""Answers are cached under the tenant's name in lower case, and every write empties the cache: only
a tenant whose name differs in nothing but its case gets what is another's."""

MODULE = ["refstack.gateway.retrieval", "refstack.gateway.ingest"]
CATCHES = "isolation/query::a_tenant_that_looks_like_another_is_not_it"
REASON = "nothing foreign"

cache = {}


def patch(module):
    if module.__name__.endswith("ingest"):
        for name in ("write", "delete"):
            _emptying(module.Ingest, name)
        return
    original = module.Retrieval.answer

    async def cached(self, identity, request, deadline, *, ask_canary):
        key = (identity.tenant_id.lower(), request.model_dump_json())
        if key not in cache:
            cache[key] = await original(self, identity, request, deadline, ask_canary=ask_canary)
        return cache[key]

    module.Retrieval.answer = cached


def _emptying(ingest, name):
    original = getattr(ingest, name)

    async def emptying(self, *arguments):
        cache.clear()
        try:
            return await original(self, *arguments)
        finally:
            cache.clear()

    setattr(ingest, name, emptying)
