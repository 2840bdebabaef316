"""Deleting takes the document's owner from the document, not from the token."""

import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/write::an_intruder_changes_nothing[delete]"
REASON = "holds what it held"


def patch(module):
    owners = {}
    write, delete = module.Api._write_one, module.Api._delete

    async def remembering(self, request, identity, deadline):
        response = await write(self, request, identity, deadline)
        owners[json.loads(response.body)["document_id"]] = identity
        return response

    async def anybodys(self, request, identity, deadline):
        owner = owners.get(request.path_params["document_id"], identity)
        return await delete(self, request, owner, deadline)

    module.Api._write_one, module.Api._delete = remembering, anybodys
