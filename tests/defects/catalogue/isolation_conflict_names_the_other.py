"""Writing under an id that another tenant uses is refused with the title of what is there."""

import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::foreign_and_absent_look_the_same"
REASON = "same for foreign and for absent"


def patch(module):
    titles = {}
    original = module.Api._write_one

    async def telling(self, request, identity, deadline):
        asked = json.loads(await request.body())
        name = asked.get("document_id")
        tenant, title = titles.get(name, (identity.tenant_id, ""))
        if tenant != identity.tenant_id:
            raise module.Problem(409, f"This id is in use for {title!r}.")
        response = await original(self, request, identity, deadline)
        titles[json.loads(response.body)["document_id"]] = (
            identity.tenant_id,
            (asked.get("metadata") or {}).get("title"),
        )
        return response

    module.Api._write_one = telling
