-- The two steps of a write that need more than one statement's worth of logic.

-- Take the announcements of a write away; the write may be committed only if all are still there.
-- If none is there but every document carries this write's version, an earlier try of the same
-- commit went through and its answer was lost: that is success, reported as false.
CREATE OR REPLACE FUNCTION rag.claim_write(announced uuid[], documents text[], write_version uuid)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = ''
AS $$
DECLARE
    taken integer;
    written integer;
BEGIN
    DELETE FROM rag.vector_cleanup WHERE cleanup_id = ANY (announced);
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken = cardinality(announced) THEN
        RETURN true;
    END IF;
    -- Locked, or a replacement could slip in between and have this write's points removed.
    SELECT count(*) INTO written FROM (
        SELECT FROM public.documents d
        WHERE d.tenant_id = rag.tenant_id() AND d.document_id = ANY (documents)
          AND d.version = write_version
        FOR UPDATE
    ) AS own;
    IF taken = 0 AND written = cardinality(documents) THEN
        RETURN false;
    END IF;
    RAISE EXCEPTION 'this write has been given up' USING ERRCODE = 'RD001';
END
$$;

-- Whatever is due for removal, of any tenant: ids only. The rows stay locked until the caller's
-- transaction ends, so that a slow writer cannot commit points that are being removed.
CREATE OR REPLACE FUNCTION rag.due_cleanup(most integer)
RETURNS TABLE (cleanup_id uuid, tenant_id text, point_ids uuid[])
LANGUAGE sql SECURITY DEFINER
SET search_path = ''
AS $$
    SELECT c.cleanup_id, c.tenant_id, c.point_ids FROM rag.vector_cleanup c
    WHERE c.not_before <= now()
    ORDER BY c.not_before
    LIMIT most
    FOR UPDATE SKIP LOCKED
$$;

CREATE OR REPLACE FUNCTION rag.forget_cleanup(done uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = ''
AS $$
    DELETE FROM rag.vector_cleanup c WHERE c.cleanup_id = ANY (done) AND c.not_before <= now()
$$;

REVOKE ALL ON FUNCTION rag.due_cleanup(integer), rag.forget_cleanup(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag.due_cleanup(integer), rag.forget_cleanup(uuid[]) TO rag_gateway;
ALTER FUNCTION rag.due_cleanup(integer) OWNER TO service_role;
ALTER FUNCTION rag.forget_cleanup(uuid[]) OWNER TO service_role;
