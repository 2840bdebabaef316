"""The list of what is to be removed, of all tenants, can be read by every tenant's requests."""

# The deployment job is run as a program, which no import sees; what it runs goes through here.
MODULE = "psycopg.connection"
CATCHES = "isolation/query::every_table_with_a_tenant_is_bound"
REASON = "for anybody who asks"


def patch(module):
    original = module.Connection.execute

    def changed(self, query, *more, **options):
        if isinstance(query, bytes):
            query = query.replace(
                b"rag.forget_cleanup(uuid[]) TO rag_gateway",
                b"rag.forget_cleanup(uuid[]) TO rag_gateway, authenticated",
            )
        return original(self, query, *more, **options)

    module.Connection.execute = changed
