"""Where nothing is found as the persona that asks, the tenant's other personas are searched."""

import dataclasses

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/query::a_request_cannot_widen_itself[filter]"
REASON = "nothing foreign"


def patch(module):
    original = module.Retrieval._candidates

    async def further(self, identity, request, *rest):
        found = await original(self, identity, request, *rest)
        if not found:
            other = "personal" if request.persona == "work" else "work"
            wide = dataclasses.replace(identity, personas=(other,))
            asked = request.model_copy(update={"persona": other})
            found = await original(self, wide, asked, *rest)
        return found

    module.Retrieval._candidates = further
