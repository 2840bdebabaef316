"""Row-level security is switched on for the documents, and forgotten for their chunks."""

# The deployment job is run as a program, which no import sees; what it runs goes through here.
MODULE = "psycopg.connection"
CATCHES = "isolation/query::every_table_with_a_tenant_is_bound"
REASON = "on, forced and ruled"


def patch(module):
    original = module.Connection.execute

    def changed(self, query, *more, **options):
        if isinstance(query, bytes):
            query = query.replace(b"'public.documents', 'public.chunks', ", b"'public.documents', ")
        return original(self, query, *more, **options)

    module.Connection.execute = changed
