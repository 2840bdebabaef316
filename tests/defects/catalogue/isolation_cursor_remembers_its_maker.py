"""Cursors are numbers under which the gateway keeps where a list stood, and for whom: whoever shows
one goes on with that list."""

import itertools
import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/query::no_path_leads_to_a_foreign_document[list]"
REASON = "nothing foreign"


def patch(module):
    kept, numbers = {}, itertools.count()
    original = module.Api._list

    async def kept_list(self, request, identity, deadline):
        given = request.query_params.get("cursor")
        if given in kept:
            identity, cursor = kept[given]
            request._query_params = {**request.query_params, "cursor": cursor}
        response = await original(self, request, identity, deadline)
        page = json.loads(response.body)
        if page.get("next_cursor"):
            number = f"list{next(numbers)}"
            kept[number] = identity, page["next_cursor"]
            return module.JsonResponse({**page, "next_cursor": number})
        return response

    module.Api._list = kept_list
