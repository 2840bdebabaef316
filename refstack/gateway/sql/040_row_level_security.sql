-- One rule for every table: the row's tenant is the token's, and its persona is one of the
-- token's. Forced, so that the owner of the tables is bound as well.
DO $$
DECLARE
    target regclass;
BEGIN
    FOREACH target IN ARRAY ARRAY[
        'public.documents', 'public.chunks', 'rag.vector_cleanup'
    ]::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
        EXECUTE format('DROP POLICY IF EXISTS own_rows ON %s', target);
        EXECUTE format(
            'CREATE POLICY own_rows ON %s FOR ALL TO authenticated
             USING (tenant_id = (SELECT rag.tenant_id())
                    AND persona = ANY ((SELECT rag.personas())::text[]))
             WITH CHECK (tenant_id = (SELECT rag.tenant_id())
                         AND persona = ANY ((SELECT rag.personas())::text[]))',
            target
        );
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, anon, rag_gateway', target);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO authenticated', target);
        EXECUTE format('GRANT ALL ON %s TO service_role', target);
    END LOOP;
END
$$;

-- Without it a foreign key's check would not be bound by the policies of the referenced table:
-- a chunk may hang only on a document of its own persona.
CREATE OR REPLACE FUNCTION rag.chunk_follows_document() RETURNS trigger
LANGUAGE plpgsql
SET search_path = ''
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.documents d
        WHERE d.tenant_id = NEW.tenant_id AND d.document_id = NEW.document_id
          AND d.persona = NEW.persona
    ) THEN
        RAISE EXCEPTION 'a chunk must have the persona of its document' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER chunk_follows_document BEFORE INSERT OR UPDATE ON public.chunks
    FOR EACH ROW EXECUTE FUNCTION rag.chunk_follows_document();
