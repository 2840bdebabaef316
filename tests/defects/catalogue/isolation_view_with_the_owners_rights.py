"""A view of titles and texts, made for a page of recent documents, reads with its owner's rights
and names no tenant."""

# The deployment job is run as a program, which no import sees; what it runs goes through here.
MODULE = "psycopg.connection"
CATCHES = "isolation/query::every_table_with_a_tenant_is_bound"
REASON = "reads with its owner's rights"


def patch(module):
    original = module.Connection.execute

    def changed(self, query, *more, **options):
        if isinstance(query, bytes) and b"'public.documents', 'public.chunks', " in query:
            query += (
                b"; CREATE OR REPLACE VIEW public.recent AS SELECT document_id, body"
                b" FROM public.documents; GRANT SELECT ON public.recent TO authenticated"
            )
        return original(self, query, *more, **options)

    module.Connection.execute = changed
