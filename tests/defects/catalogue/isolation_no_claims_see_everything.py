"""A session without claims passes for one that may see every tenant."""

# The deployment job is run as a program, which no import sees; what it runs goes through here.
MODULE = "psycopg.connection"
CATCHES = "isolation/query::each_role_reads_what_its_claims_allow[rag_gateway as authenticated]"
REASON = "show what they allow"


def patch(module):
    original = module.Connection.execute

    def changed(self, query, *more, **options):
        if isinstance(query, bytes):
            query = query.replace(
                b"USING (tenant_id =", b"USING (rag.tenant_id() IS NULL OR tenant_id ="
            )
        return original(self, query, *more, **options)

    module.Connection.execute = changed
