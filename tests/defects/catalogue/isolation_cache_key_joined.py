"""Answers are cached under tenant and persona with a hyphen between them, so that the persona
`b-c` of tenant `a` is given what persona `c` of tenant `a-b` asked for; writes empty the cache."""

MODULE = ["refstack.gateway.retrieval", "refstack.gateway.ingest"]
CATCHES = "isolation/query::two_names_that_join_alike_stay_apart"
REASON = "nothing foreign"

cache = {}


def patch(module):
    if module.__name__.endswith("ingest"):
        for name in ("write", "delete"):
            _emptying(module.Ingest, name)
        return
    original = module.Retrieval.answer

    async def cached(self, identity, request, deadline, *, ask_canary):
        question = request.model_dump_json(exclude={"persona"})
        key = (f"{identity.tenant_id}-{request.persona}", question)
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
