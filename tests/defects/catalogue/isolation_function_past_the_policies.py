"""A function that finds texts by a word runs with the rights of a role that row-level security does
not bind, and the gateway may call it."""

# The deployment job is run as a program, which no import sees; what it runs goes through here.
MODULE = "psycopg.connection"
CATCHES = "isolation/query::every_table_with_a_tenant_is_bound"
REASON = "reads documents past it"


def patch(module):
    original = module.Connection.execute

    def changed(self, query, *more, **options):
        if isinstance(query, bytes) and b"FUNCTION rag.forget_cleanup" in query:
            query += (
                b"; CREATE OR REPLACE FUNCTION rag.texts_with(word text) RETURNS SETOF text"
                b" LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$ SELECT c.text"
                b" FROM public.chunks c WHERE position(word IN c.text) > 0 $$;"
                b" REVOKE ALL ON FUNCTION rag.texts_with(text) FROM PUBLIC;"
                b" GRANT EXECUTE ON FUNCTION rag.texts_with(text) TO rag_gateway;"
                b" ALTER FUNCTION rag.texts_with(text) OWNER TO service_role"
            )
        return original(self, query, *more, **options)

    module.Connection.execute = changed
