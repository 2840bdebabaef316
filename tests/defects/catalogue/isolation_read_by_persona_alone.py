"""The gateway connects as the owner of the tables, whom row-level security does not bind, and
reading a document by its id looks at the persona and no longer at the tenant."""

MODULE = [
    "harness.drivers.embedded.services",
    "refstack.gateway.metadata",
    "refstack.gateway.catalogue",
]
CATCHES = "isolation/query::no_namespace_reaches_any_other"
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
        get, statement = module.Catalogue.get, module.Statement

        def forgetful(sql, parameters=()):
            if "d.body" not in sql:
                return statement(sql, parameters)
            return statement(sql.replace("d.tenant_id = %s AND ", ""), parameters[1:])

        async def by_persona(self, identity, document_id, deadline):
            module.Statement = forgetful
            try:
                return await get(self, identity, document_id, deadline)
            finally:
                module.Statement = statement

        module.Catalogue.get = by_persona
