-- Documents and their chunks. A row that is there is committed and answers; there is no half
-- state. What the vector store still has to forget is listed in rag.vector_cleanup.
CREATE TABLE IF NOT EXISTS public.documents (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    document_id text NOT NULL CHECK (document_id <> ''),
    persona text NOT NULL CHECK (persona <> ''),
    tier text NOT NULL DEFAULT 'hot' CHECK (tier IN ('hot', 'warm', 'cold')),
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb CHECK (jsonb_typeof(metadata) = 'object'),
    body text NOT NULL,
    content_sha256 text NOT NULL, -- of body in UTF-8, hex
    version uuid NOT NULL DEFAULT gen_random_uuid(),
    embed_model text NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, document_id)
);
CREATE INDEX IF NOT EXISTS documents_by_persona
    ON public.documents (tenant_id, persona, document_id);
CREATE INDEX IF NOT EXISTS documents_by_age ON public.documents (tier, ingested_at);

CREATE TABLE IF NOT EXISTS public.chunks (
    tenant_id text NOT NULL,
    chunk_id text NOT NULL,
    document_id text NOT NULL,
    persona text NOT NULL,
    position integer NOT NULL CHECK (position >= 0),
    point_id uuid NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (tenant_id, chunk_id),
    UNIQUE (tenant_id, document_id, position),
    FOREIGN KEY (tenant_id, document_id)
        REFERENCES public.documents (tenant_id, document_id) ON DELETE CASCADE
);

-- Points that must go from the vector store once not_before has passed. A row is written before
-- points are, and taken away by the transaction that makes them answer: what a crash leaves
-- behind is listed here. Holds ids only.
CREATE TABLE IF NOT EXISTS rag.vector_cleanup (
    cleanup_id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    document_id text NOT NULL,
    persona text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('write', 'replaced', 'deleted')),
    point_ids uuid[] NOT NULL,
    not_before timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS vector_cleanup_due ON rag.vector_cleanup (not_before);
CREATE INDEX IF NOT EXISTS vector_cleanup_by_document
    ON rag.vector_cleanup (tenant_id, document_id);
