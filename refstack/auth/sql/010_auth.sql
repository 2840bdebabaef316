-- Accounts, sessions and refresh tokens. Safe to run again. Run by whoever owns the database;
-- the service logs in as rag_auth, which may change rows and nothing else.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rag_auth') THEN
        CREATE ROLE rag_auth LOGIN NOINHERIT;
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS auth;
-- The owner of a schema may drop what others made in it.
ALTER SCHEMA auth OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA auth FROM rag_auth;
GRANT USAGE ON SCHEMA auth TO rag_auth;

CREATE TABLE IF NOT EXISTS auth.users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aud text NOT NULL DEFAULT 'authenticated',
    role text NOT NULL DEFAULT 'authenticated',
    email text NOT NULL CHECK (email <> '' AND email = lower(email)),
    encrypted_password text NOT NULL DEFAULT '',
    raw_app_meta_data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(raw_app_meta_data) = 'object'),
    raw_user_meta_data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(raw_user_meta_data) = 'object'),
    banned_until timestamptz,
    last_sign_in_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS users_email ON auth.users (email);
CREATE INDEX IF NOT EXISTS users_by_age ON auth.users (created_at, id);

CREATE TABLE IF NOT EXISTS auth.sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS sessions_by_user ON auth.sessions (user_id);

-- The digest of a token, never the token: a copy of the table lets nobody in.
CREATE TABLE IF NOT EXISTS auth.refresh_tokens (
    digest bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES auth.sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE INDEX IF NOT EXISTS refresh_tokens_by_session ON auth.refresh_tokens (session_id);

REVOKE ALL ON auth.users, auth.sessions, auth.refresh_tokens FROM PUBLIC, rag_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.users, auth.sessions, auth.refresh_tokens TO rag_auth;
