-- Whose is what the vector store holds? (operations guide 9.3, step 2)
--
--   psql -X -v ON_ERROR_STOP=1 -f scripts/leakage_audit.sql "$DATABASE_URL"
--
-- Judges the rows of public.chunks and public.documents among themselves, and every point that
-- stands in the temporary table leakage_points. scripts/leakage_audit.py puts each point there that
-- does not match its owner at first sight; by hand, in the same psql session and before \i of this
-- file:
--   CREATE TEMP TABLE leakage_points (collection text, point_id text, tenant_id text,
--     persona text, document_id text, chunk_id text, note text);
--   \copy leakage_points FROM points.csv CSV
-- Changes nothing but that table. Needs a role that row-level security does not bind, or it would
-- take whatever it cannot see for unowned; it refuses to run as another.
--
-- The statements are named, because the script asks for them one by one.

-- name: points_table
CREATE TEMP TABLE IF NOT EXISTS leakage_points (
    collection text NOT NULL,
    point_id text NOT NULL,  -- UUID or number, as the API shows it
    tenant_id text,          -- what the payload says; NULL where it says nothing
    persona text,
    document_id text,
    chunk_id text,
    note text                -- what is wrong with the payload itself; NULL where nothing is
);

-- name: visibility
DO $$
BEGIN
    IF row_security_active('public.chunks'::regclass)
       OR row_security_active('public.documents'::regclass)
       OR row_security_active('rag.vector_cleanup'::regclass) THEN
        RAISE EXCEPTION 'row-level security hides rows from the role %', current_user
            USING HINT = 'use the owner''s DSN or a role with BYPASSRLS';
    END IF;
END
$$;

-- name: points
-- One line for each point: its kind, and whose chunk it is or holds.
--   sound       its id, tenant, persona, document and chunk are those of one chunk
--   misplaced   its id belongs to a chunk, and its payload says something else
--   pending     nobody's any more or not yet, and listed for removal
--   foreign     not known by its id, and it holds a chunk of another tenant or persona
--   duplicated  not known by its id, and it holds a chunk of its own namespace once more
--   unowned     anything else: no chunk answers for it
WITH seen AS MATERIALIZED (
    SELECT p.*, row_number() OVER () AS line,
        CASE WHEN p.point_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
             THEN p.point_id::uuid END AS id
    FROM leakage_points p
),
owner AS (
    SELECT DISTINCT ON (s.line) s.line, c.tenant_id, c.persona, c.document_id, c.chunk_id,
        c.point_id,
        (c.tenant_id, c.persona, c.document_id, c.chunk_id)
            IS NOT DISTINCT FROM (s.tenant_id, s.persona, s.document_id, s.chunk_id)
            AND s.note IS NULL AS same
    FROM seen s JOIN public.chunks c ON c.point_id = s.id
    ORDER BY s.line, same DESC, c.tenant_id, c.chunk_id
),
original AS (
    SELECT DISTINCT ON (s.line) s.line, c.tenant_id, c.persona, c.document_id, c.chunk_id,
        c.point_id,
        (c.tenant_id, c.persona) IS NOT DISTINCT FROM (s.tenant_id, s.persona) AS same
    FROM seen s JOIN public.chunks c ON c.chunk_id = s.chunk_id
    ORDER BY s.line, same DESC, (c.tenant_id = s.tenant_id) DESC NULLS LAST, c.tenant_id
),
listed AS (
    SELECT DISTINCT s.line
    FROM rag.vector_cleanup w CROSS JOIN unnest(w.point_ids) AS p(id) JOIN seen s USING (id)
    WHERE w.tenant_id = s.tenant_id AND w.not_before > now() - interval '1 hour'
)
SELECT s.collection, s.point_id, s.tenant_id, s.persona, s.document_id, s.chunk_id, s.note,
    CASE
        WHEN o.same THEN 'sound'
        WHEN o.line IS NOT NULL THEN 'misplaced'
        WHEN l.line IS NOT NULL THEN 'pending'
        WHEN s.note IS NOT NULL OR f.line IS NULL THEN 'unowned'
        WHEN f.same THEN 'duplicated'
        ELSE 'foreign'
    END AS kind,
    coalesce(o.tenant_id, f.tenant_id) AS owner_tenant,
    coalesce(o.persona, f.persona) AS owner_persona,
    coalesce(o.document_id, f.document_id) AS owner_document,
    coalesce(o.chunk_id, f.chunk_id) AS owner_chunk,
    coalesce(o.point_id, f.point_id)::text AS owner_point
FROM seen s
LEFT JOIN owner o USING (line)
LEFT JOIN original f USING (line)
LEFT JOIN listed l USING (line)
ORDER BY s.line;

-- name: rows
-- Rows that contradict each other: no line when all is well.
SELECT 'a point that two chunks own' AS finding, c.tenant_id, c.persona, c.document_id, c.chunk_id,
    c.point_id::text
FROM public.chunks c
JOIN (SELECT point_id FROM public.chunks GROUP BY point_id HAVING count(*) > 1) twice
    USING (point_id)
UNION ALL
SELECT CASE WHEN d.tenant_id IS NULL THEN 'a chunk without its document'
            ELSE 'a chunk whose document is of persona ' || quote_literal(d.persona) END,
    c.tenant_id, c.persona, c.document_id, c.chunk_id, c.point_id::text
FROM public.chunks c
LEFT JOIN public.documents d USING (tenant_id, document_id)
WHERE d.persona IS DISTINCT FROM c.persona
ORDER BY 1, 2, 5;

-- name: namespaces
-- What each namespace holds, by the metadata store.
SELECT tenant_id, persona, count(DISTINCT document_id) AS documents, count(*) AS chunks
FROM public.chunks
GROUP BY tenant_id, persona
ORDER BY tenant_id, persona;
