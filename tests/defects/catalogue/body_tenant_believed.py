"""A tenant named in the body of a query takes the place of the token's."""

import dataclasses
import json

MODULE = ["refstack.gateway.routes", "refstack.gateway.models"]
CATCHES = "isolation/query::a_request_cannot_widen_itself[body]"
REASON = "nothing foreign"


def patch(module):
    if module.__name__.endswith("models"):
        module.QueryRequest.model_config["extra"] = "ignore"
        module.QueryRequest.model_rebuild(force=True)
        return
    original = module.Api._query

    async def believing(self, request, identity, deadline):
        asked = json.loads(await request.body()).get("tenant_id")
        if asked:
            identity = dataclasses.replace(identity, tenant_id=asked)
        return await original(self, request, identity, deadline)

    module.Api._query = believing
