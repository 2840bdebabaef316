"""The gateway connects as the owner of the tables, whom row-level security does not bind, and
reading a document by its id forgets the tenant."""

MODULE = [
    "harness.drivers.embedded.services",
    "refstack.gateway.metadata",
    "refstack.gateway.catalogue",
]
CATCHES = "isolation/query::no_path_leads_to_a_foreign_document[read]"
REASON = "nothing foreign"


def patch(module):
    if module.__name__.endswith("services"):
        original = module.Context.database

        def as_owner(self, role, link):
            return original(self, "rag_admin" if role == "rag_gateway" else role, link)

        module.Context.database = as_owner
    elif module.__name__.endswith("metadata"):
        module._ENTER = module._ENTER.replace("SET LOCAL ROLE authenticated", "SELECT 1")
    else:
        get = module.Catalogue.get

        async def unscoped(self, identity, document_id, deadline):
            before = module.Statement

            def forgetful(sql, parameters=()):
                return before(
                    sql.replace("d.tenant_id = %s AND d.persona = ANY (%s::text[]) AND", ""),
                    parameters[2:],
                )

            module.Statement = forgetful
            try:
                return await get(self, identity, document_id, deadline)
            finally:
                module.Statement = before

        module.Catalogue.get = unscoped
