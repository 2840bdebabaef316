-- What the verified token says, as the gateway hands it over for one transaction.
-- The functions live in a schema that no login role can change.
CREATE SCHEMA IF NOT EXISTS rag;
GRANT USAGE ON SCHEMA rag TO authenticated, service_role, rag_gateway;

CREATE OR REPLACE FUNCTION rag.claims() RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = ''
AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb, '{}'::jsonb)
$$;

CREATE OR REPLACE FUNCTION rag.tenant_id() RETURNS text
LANGUAGE sql STABLE
SET search_path = ''
AS $$
    SELECT rag.claims() #>> '{app_metadata,tenant_id}'
$$;

CREATE OR REPLACE FUNCTION rag.personas() RETURNS text[]
LANGUAGE sql STABLE
SET search_path = ''
AS $$
    SELECT coalesce(array_agg(persona), '{}')
    FROM jsonb_array_elements_text(
        coalesce(rag.claims() #> '{app_metadata,personas}', '[]'::jsonb)
    ) AS persona
$$;
