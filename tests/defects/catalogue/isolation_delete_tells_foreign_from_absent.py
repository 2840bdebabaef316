"""Deleting what another tenant owns is answered 403, what nobody owns 404."""

import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::foreign_and_absent_look_the_same"
REASON = "same for foreign"


def patch(module):
    owners = {}
    write, delete = module.Api._write_one, module.Api._delete

    async def remembering(self, request, identity, deadline):
        response = await write(self, request, identity, deadline)
        owners[json.loads(response.body)["document_id"]] = identity.tenant_id
        return response

    async def telling(self, request, identity, deadline):
        if owners.get(request.path_params["document_id"], identity.tenant_id) != identity.tenant_id:
            raise module.Problem(403, "This document belongs to somebody else.")
        return await delete(self, request, identity, deadline)

    module.Api._write_one, module.Api._delete = remembering, telling
