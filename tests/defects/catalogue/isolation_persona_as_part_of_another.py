"""A persona is taken for one of the token's when it is part of the name of one of them."""

import dataclasses
import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/query::a_persona_that_looks_like_another_is_not_it"
REASON = "personas like another: nothing of it"


def patch(module):
    require, query = module._require_persona, module.Api._query

    def part(identity, persona):
        if not any(persona in each for each in identity.personas):
            require(identity, persona)

    async def entered(self, request, identity, deadline):
        asked = json.loads(await request.body())
        persona = asked.get("persona") if isinstance(asked, dict) else None
        if isinstance(persona, str) and any(persona in each for each in identity.personas):
            identity = dataclasses.replace(identity, personas=(*identity.personas, persona))
        return await query(self, request, identity, deadline)

    module._require_persona, module.Api._query = part, entered
