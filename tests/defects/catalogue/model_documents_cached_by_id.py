"""The gateway remembers documents by their id, and two tenants use the same one."""

MODULE = "refstack.gateway.catalogue"
CATCHES = "isolation/query::no_history_of_requests_shows_what_the_model_hides"
REASON = "the answer holds marker|200 instead of 404"


def patch(module):
    original, known = module.Catalogue.get, {}

    async def get(self, identity, document_id, deadline):
        if document_id not in known:
            found = await original(self, identity, document_id, deadline)
            if found is None:
                return None
            known[document_id] = found
        return known[document_id]

    module.Catalogue.get = get
