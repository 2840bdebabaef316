"""isolation/write below the gateway: what SQL may change with the claims of one namespace."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from fixtures.canaries import Canaries
from fixtures.stores import Sessions, claims_of, tenant_tables
from harness import conformance, needs
from harness.core.evidence import Evidence

Admin = Callable[[], psycopg.Connection]

INTRUSIONS: dict[str, str] = {
    "insert for the other tenant": "INSERT INTO public.documents (tenant_id, document_id, persona,"
    " body, content_sha256, embed_model) VALUES ('{other}', 'planted', 'work', 'x', 'x', 'x')",
    "insert for the other persona": "INSERT INTO public.documents (tenant_id, document_id, persona,"
    " body, content_sha256, embed_model) VALUES ('{own}', 'planted', 'personal', 'x', 'x', 'x')",
    "give an own row away": "UPDATE public.documents SET tenant_id = '{other}'"
    " WHERE tenant_id = '{own}'",
    "move an own row to the other persona": "UPDATE public.documents SET persona = 'personal'",
    "change foreign rows": "UPDATE public.documents SET body = 'changed'"
    " WHERE tenant_id = '{other}'",
    "change the other persona's rows": "UPDATE public.documents SET body = 'changed'"
    " WHERE persona = 'personal'",
    "change foreign chunks": "UPDATE public.chunks SET text = 'changed' WHERE persona = 'personal'",
    "delete foreign rows": "DELETE FROM public.documents WHERE tenant_id = '{other}'",
    "delete the other persona's rows": "DELETE FROM public.documents WHERE persona = 'personal'",
    "delete foreign chunks": "DELETE FROM public.chunks WHERE tenant_id = '{other}'",
    "take a foreign row over": "INSERT INTO public.documents (tenant_id, document_id, persona,"
    " body, content_sha256, embed_model) SELECT '{own}', '{hidden}', 'work', 'x', 'x', 'x'"
    " ON CONFLICT (tenant_id, document_id) DO UPDATE SET body = EXCLUDED.body",
    "hang a chunk on a hidden document": "INSERT INTO public.chunks (tenant_id, chunk_id,"
    " document_id, persona, position, point_id, text) VALUES ('{own}', 'planted#0', '{hidden}',"
    " 'work', 99, gen_random_uuid(), 'x')",
    "have a foreign point removed": "INSERT INTO rag.vector_cleanup (cleanup_id, tenant_id,"
    " document_id, persona, reason, point_ids, not_before) VALUES (gen_random_uuid(), '{other}',"
    " 'x', 'work', 'deleted', ARRAY['{point}']::uuid[], now())",
    "empty the table": "TRUNCATE public.documents CASCADE",
    "switch row-level security off": "ALTER TABLE public.documents DISABLE ROW LEVEL SECURITY",
    "drop the policy": "DROP POLICY own_rows ON public.documents",
    "add a policy": "CREATE POLICY all_rows ON public.documents USING (true)",
    "replace what reads the claims": "CREATE OR REPLACE FUNCTION rag.tenant_id() RETURNS text"
    " LANGUAGE sql AS $$ SELECT '{other}' $$",
}


@conformance("isolation/write", since="0.2")
@needs("read", "write", roles=["metadata", "edge"])
def test_sql_changes_only_what_the_claims_own(
    canaries: Canaries, sessions: Sessions, metadata: Admin, evidence: Evidence
) -> None:
    """With the claims of one tenant and one persona, no statement MUST add, change or remove a row
    of another namespace, or the rules themselves."""
    hunter, quarry = canaries.pair()
    hidden = canaries.of(hunter.id, "personal")[0]
    fill = {"{own}": hunter.id, "{other}": quarry.id, "{hidden}": hidden.document_id}
    fill["{point}"] = canaries.of(quarry.id)[0].point_id or hidden.point_id
    with metadata() as admin:
        before = _digest(admin, hunter.id)
    done = []
    for role in ("rag_gateway", "rag_gateway as authenticated"):
        with sessions(role) as connection:
            for name, statement in INTRUSIONS.items():
                for key, value in fill.items():
                    statement = statement.replace(key, value)
                touched = _touched(connection, statement, claims_of(hunter.id, ["work"]))
                if touched:
                    done.append(f"{role}: {name}: {touched}")
    with metadata() as admin:
        after = _digest(admin, hunter.id)
    evidence.require(
        f"each of {len(INTRUSIONS)} intrusions by SQL, as two roles, is refused or touches no row",
        not done,
        expected="an error, or no row",
        actual=done or "refused",
    )
    evidence.require(
        "every row outside the claims and every policy is as it was",
        after == before,
        expected=before,
        actual=after,
    )


def _touched(connection: psycopg.Connection, statement: str, claims: str) -> str:
    try:
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,))
        cursor = connection.execute(statement.encode())
        touched = cursor.rowcount
        connection.commit()
    except psycopg.Error:
        connection.rollback()
        return ""
    # Without a row count it is a statement about the rules, and it went through.
    return "done" if touched < 0 else f"{touched} rows" if touched else ""


def _digest(admin: psycopg.Connection, tenant: str) -> dict[str, str]:
    """A digest of all rows that ``tenant`` as ``work`` does not own, and of the policies."""
    found = {}
    for schema, name in tenant_tables(admin):
        query = sql.SQL(
            "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
            " WHERE NOT (tenant_id = %s AND persona = 'work')"
        ).format(sql.Identifier(schema, name))
        row = admin.execute(query, (tenant,)).fetchone()
        found[f"{schema}.{name}"] = str(row[0]) if row else ""
    rules = "SELECT md5(string_agg(p::text, '|' ORDER BY p::text)) FROM pg_policies p"
    found["policies"] = str((admin.execute(rules).fetchone() or [""])[0])
    return found
