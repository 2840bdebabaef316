"""A query that names no persona is answered from every persona of the tenant, whatever the token
has."""

import dataclasses
import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/query::a_request_cannot_widen_itself[body]"
REASON = "nothing foreign"


def patch(module):
    original = module.Api._query

    async def generous(self, request, identity, deadline):
        try:
            asked = json.loads(await request.body())
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or "persona" in asked:
            return await original(self, request, identity, deadline)
        answers = []
        for persona in ("work", "personal"):
            request._body = json.dumps({**asked, "persona": persona}).encode()
            wide = dataclasses.replace(identity, personas=(persona,))
            answers.append(await original(self, request, wide, deadline))
        merged = json.loads(answers[0].body)
        merged["results"] += json.loads(answers[1].body)["results"]
        return module.JsonResponse(merged)

    module.Api._query = generous
