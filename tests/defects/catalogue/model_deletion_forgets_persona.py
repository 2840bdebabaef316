"""A deletion is done with all personas of the tenant, those of other users included."""

MODULE = "refstack.gateway.ingest"
CATCHES = "isolation/query::no_history_of_requests_shows_what_the_model_hides"
REASON = "204 instead of 404"


def patch(module):
    original = module.Ingest.delete

    async def delete(self, identity, document_id, deadline):
        everyone = type(identity)(identity.subject, identity.tenant_id, ("work", "personal"))
        return await original(self, everyone, document_id, deadline)

    module.Ingest.delete = delete
