"""Reading a document that another tenant owns is answered 403, one that nobody owns 404."""

import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/query::a_foreign_id_looks_like_one_that_does_not_exist"
REASON = "told apart"


def patch(module):
    owners = {}
    write, get = module.Api._write_one, module.Api._get

    async def remembering(self, request, identity, deadline):
        response = await write(self, request, identity, deadline)
        owners[json.loads(response.body)["document_id"]] = identity.tenant_id
        return response

    async def telling(self, request, identity, deadline):
        owner = owners.get(request.path_params["document_id"])
        if owner is not None and owner != identity.tenant_id:
            raise module.Problem(403, "This document belongs to somebody else.")
        return await get(self, request, identity, deadline)

    module.Api._write_one, module.Api._get = remembering, telling
