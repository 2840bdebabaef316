"""Of a batch only the first document's persona is compared with the token's."""

import dataclasses
from contextvars import ContextVar

MODULE = ["refstack.gateway.routes", "refstack.gateway.ingest"]
CATCHES = "isolation/write::an_intruder_changes_nothing[batch]"
REASON = "refusal that was due"


def patch(module):
    if module.__name__.endswith("routes"):
        batch = module.Api._write_batch

        looked_at = ContextVar("looked_at", default=None)

        async def first_only(self, request, identity, deadline):
            looked_at.set([])
            return await batch(self, request, identity, deadline)

        def once(who, persona):
            if not (seen := looked_at.get()):
                require(who, persona)
            if seen is not None:
                seen.append(persona)

        require = module._require_persona
        module._require_persona, module.Api._write_batch = once, first_only
        return
    write = module.Ingest.write

    async def generous(self, identity, requests, deadline):
        named = tuple(request.persona for request in requests)
        wide = dataclasses.replace(identity, personas=(*identity.personas, *named))
        return await write(self, wide, requests, deadline)

    module.Ingest.write = generous
