"""A tenant in the metadata of a document places the document there."""

import dataclasses
import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/write::a_tenant_in_a_write_is_not_believed"
REASON = "planted text"


def patch(module):
    original = module.Api._write_one

    async def believing(self, request, identity, deadline):
        metadata = json.loads(await request.body()).get("metadata") or {}
        if "tenant_id" in metadata:
            identity = dataclasses.replace(identity, tenant_id=metadata["tenant_id"])
        return await original(self, request, identity, deadline)

    module.Api._write_one = believing
