"""Lists are kept for a moment under their address, whose they are left out; writes empty it."""

MODULE = ["refstack.gateway.routes", "refstack.gateway.ingest"]
CATCHES = "isolation/side-channels::one_address_serves_each_its_own"
REASON = "reads in turn"

cache = {}


def patch(module):
    if module.__name__.endswith("ingest"):
        for name in ("write", "delete"):
            _emptying(module.Ingest, name)
        return
    original = module.Api._list

    async def cached(self, request, identity, deadline):
        key = str(request.url)
        if key not in cache:
            cache[key] = await original(self, request, identity, deadline)
        return cache[key]

    module.Api._list = cached


def _emptying(ingest, name):
    original = getattr(ingest, name)

    async def emptying(self, *arguments):
        cache.clear()
        try:
            return await original(self, *arguments)
        finally:
            cache.clear()

    setattr(ingest, name, emptying)
