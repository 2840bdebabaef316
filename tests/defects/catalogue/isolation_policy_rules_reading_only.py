"""The policies rule what is read, and let any row be written."""

# The deployment job is run as a program, which no import sees; what it runs goes through here.
MODULE = "psycopg.connection"
CATCHES = "isolation/write::sql_changes_only_what_the_claims_own"
REASON = "intrusions by SQL"


def patch(module):
    original = module.Connection.execute

    def changed(self, query, *more, **options):
        if isinstance(query, bytes):
            query = query.replace(b"WITH CHECK (tenant_id =", b"WITH CHECK (true OR tenant_id =")
        return original(self, query, *more, **options)

    module.Connection.execute = changed
