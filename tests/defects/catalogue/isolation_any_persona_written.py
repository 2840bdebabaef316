"""Writing takes the document's persona for the writer's, whether the token has it or not."""

import dataclasses

MODULE = ["refstack.gateway.routes", "refstack.gateway.ingest"]
CATCHES = "isolation/write::a_token_writes_only_as_its_personas"
REASON = "writing as another persona is refused.*POST 201"


def patch(module):
    if module.__name__.endswith("routes"):
        require = module._require_persona

        def for_queries(identity, persona):
            if isinstance(persona, str) and persona not in identity.personas:
                return
            require(identity, persona)

        module._require_persona = for_queries
        return
    write = module.Ingest.write

    async def generous(self, identity, requests, deadline):
        named = tuple(request.persona for request in requests)
        identity = dataclasses.replace(identity, personas=(*identity.personas, *named))
        return await write(self, identity, requests, deadline)

    module.Ingest.write = generous
