"""The policies hold a row against the claims' tenant and forget its persona."""

# The deployment job is run as a program, which no import sees; what it runs goes through here.
MODULE = "psycopg.connection"
CATCHES = "isolation/query::each_role_reads_what_its_claims_allow[authenticated]"
REASON = "show what they allow"


def patch(module):
    original = module.Connection.execute

    def changed(self, query, *more, **options):
        if isinstance(query, bytes):
            query = query.replace(b"persona = ANY ((SELECT rag.personas())::text[])", b"true")
        return original(self, query, *more, **options)

    module.Connection.execute = changed
