"""isolation/query and isolation/write below the gateway: the metadata store's row-level security,
proven from SQL as each role, with claims and without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from fixtures.canaries import Canaries, require_no_leak
from harness import conformance, needs
from harness.checks.markers import Finder, Leak, excerpt
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import Stack

Admin = Callable[[], psycopg.Connection]

CLAIMS: dict[str, Callable[[Canaries], str | None]] = {
    "no claims": lambda _: None,
    "empty claims": lambda _: "",
    "claims that are no JSON": lambda _: "{",
    "claims that say nothing": lambda _: "{}",
    "claims of no tenant": lambda _: _claims(None, ["work", "personal"]),
    "claims of no persona": lambda c: _claims(c.pair()[0].id, None),
    "claims of an empty list of personas": lambda c: _claims(c.pair()[0].id, []),
    "claims of a wildcard tenant": lambda _: _claims("%", ["work", "personal"]),
    "claims of a list of tenants": lambda c: _claims([t.id for t in c.pair()], ["work"]),
    "claims of a wildcard persona": lambda c: _claims(c.pair()[0].id, ["*", "%"]),
    "claims of a tenant in capitals": lambda c: _claims(c.pair()[0].id.upper(), ["work"]),
    "claims of service_role": lambda _: json.dumps({"role": "service_role"}),
    "claims of one persona": lambda c: _claims(c.pair()[0].id, ["work"]),
    "claims of one tenant": lambda c: _claims(c.pair()[0].id, ["work", "personal"]),
}

ROLES = ("rag_gateway", "rag_gateway as authenticated", "rag_auth", "anon", "authenticated")


def _claims(tenant: Any, personas: Any) -> str:
    return json.dumps({"app_metadata": {"tenant_id": tenant, "personas": personas}})


@pytest.fixture(scope="module")
def sessions(stack: Stack) -> Callable[[str], Any]:
    """Open a session as a role: by its own password, or by ``SET ROLE``; rolled back at its end."""
    known = stack.credentials("metadata")
    if "gateway_dsn" not in known or "auth_dsn" not in known:
        raise NotAllowed(
            "The roles of the metadata store can be tried only with their passwords.",
            expected="gateway_dsn and auth_dsn among the role's credentials",
            actual=", ".join(sorted(known)) or "none",
        )
    ways = {
        "rag_gateway": ("gateway_dsn", None),
        "rag_gateway as authenticated": ("gateway_dsn", "authenticated"),
        "rag_auth": ("auth_dsn", None),
        "anon": ("admin_dsn", "anon"),
        "authenticated": ("admin_dsn", "authenticated"),
    }

    @contextmanager
    def session(role: str) -> Iterator[psycopg.Connection]:
        dsn, entered = ways[role]
        with psycopg.connect(known[dsn], connect_timeout=5) as connection:
            if entered:
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(entered)))
            connection.commit()
            yield connection
            connection.rollback()

    return session


def _tables(admin: psycopg.Connection) -> list[tuple[str, str]]:
    rows = admin.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'"
        " WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND NOT a.attisdropped"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
    )
    return [(str(schema), str(name)) for schema, name in rows]


@conformance("isolation/query", since="0.2")
@needs("read", roles=["metadata"])
def test_every_table_with_a_tenant_is_bound(metadata: Admin, evidence: Evidence) -> None:
    """Each table that names a tenant MUST have row-level security switched on, forced and ruled by
    a policy, and no role that a service logs in as MUST be able to pass by it."""
    with metadata() as admin:
        tables = _tables(admin)
        evidence.require(
            "there are tables with tenants", len(tables) > 0, actual=[".".join(t) for t in tables]
        )
        loose = admin.execute(
            "SELECT n.nspname || '.' || c.relname, c.relkind::text, c.relrowsecurity,"
            " c.relforcerowsecurity, (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
            " AND CASE WHEN c.relkind = 'v' THEN NOT coalesce("
            "   'security_invoker=true' = ANY (c.reloptions), false)"
            "  ELSE NOT (c.relrowsecurity AND c.relforcerowsecurity) OR NOT EXISTS ("
            "   SELECT FROM pg_policy p WHERE p.polrelid = c.oid) END",
            ([schema for schema, _ in tables], [name for _, name in tables]),
        ).fetchall()
        passing = admin.execute(
            "SELECT l.rolname, w.rolname FROM pg_roles l, pg_roles w"
            " WHERE l.rolcanlogin AND NOT l.rolsuper AND (w.rolbypassrls OR w.rolsuper)"
            " AND pg_has_role(l.oid, w.oid, 'SET')"
        ).fetchall()
        public = admin.execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner"
            " WHERE p.prosecdef AND (o.rolbypassrls OR o.rolsuper)"
            " AND (has_function_privilege('anon', p.oid, 'EXECUTE')"
            "  OR has_function_privilege('authenticated', p.oid, 'EXECUTE'))"
        ).fetchall()
    evidence.require(
        f"row-level security is on, forced and ruled for each of {len(tables)} tables",
        not loose,
        expected="on, forced, at least one policy; views with the rights of who asks",
        actual=[
            f"{name} ({kind}): on {a}, forced {b}, {n} policies" for name, kind, a, b, n in loose
        ]
        or "all bound",
    )
    evidence.require(
        "no log-in role may pass by it, by itself or by another role",
        not passing,
        expected="no BYPASSRLS and no way to a role that has it, superusers apart",
        actual=[f"{login} by {way}" for login, way in passing] or "none",
    )
    evidence.require(
        "no function runs past it for anybody who asks",
        not public,
        expected="no SECURITY DEFINER function of a passing role for anon or authenticated",
        actual=[str(name) for (name,) in public] or "none",
    )


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["metadata", "edge"])
@pytest.mark.parametrize("role", ROLES)
def test_each_role_reads_what_its_claims_allow(
    role: str, canaries: Canaries, sessions: Any, metadata: Admin, evidence: Evidence
) -> None:
    """In SQL, a role MUST read exactly the rows of its claims' tenant and personas, and none
    without claims."""
    may_read = role.endswith("authenticated")
    with metadata() as admin:
        tables = _tables(admin)
        truth = {table: _rows(admin, table) for table in tables}
    wrong = []
    # One session for all, as in the gateway's pool: claims must not outlast their transaction.
    with sessions(role) as connection:
        for name, make in CLAIMS.items():
            claims = make(canaries)
            for table in tables:
                seen = _seen(connection, table, claims)
                allowed = _allowed(truth[table], claims) if may_read else set()
                if seen != allowed:
                    wrong.append(
                        f"{name}, {'.'.join(table)}: {len(seen - allowed)} rows too many, "
                        f"{len(allowed - seen)} too few"
                    )
    evidence.require(
        f"{role}: {len(CLAIMS)} kinds of claims on {len(tables)} tables show what they allow",
        not wrong,
        expected="the claims' own rows and no other",
        actual=wrong[:6] or "as allowed",
        rows={".".join(table): len(rows) for table, rows in truth.items()},
    )


def _rows(connection: psycopg.Connection, table: tuple[str, str]) -> set[tuple[str, str, str]]:
    query = sql.SQL("SELECT tenant_id, persona, document_id FROM {}").format(sql.Identifier(*table))
    return {(str(a), str(b), str(c)) for a, b, c in connection.execute(query)}


def _seen(
    connection: psycopg.Connection, table: tuple[str, str], claims: str | None
) -> set[tuple[str, str, str]]:
    """What a session sees; an error (no privilege, no JSON) shows nothing."""
    try:
        if claims is not None:
            connection.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,))
        return _rows(connection, table)
    except psycopg.errors.Error:
        return set()
    finally:
        connection.rollback()


def _allowed(rows: set[tuple[str, str, str]], claims: str | None) -> set[tuple[str, str, str]]:
    try:
        said = json.loads(claims or "{}").get("app_metadata", {})
    except ValueError:
        return set()
    tenant, personas = said.get("tenant_id"), said.get("personas") or ()
    return {row for row in rows if row[0] == tenant and row[1] in personas}


ESCAPES: dict[str, str] = {
    "row security switched off": "SET LOCAL row_security = off; SELECT * FROM public.documents",
    "a role that passes by": "SET LOCAL ROLE service_role; SELECT * FROM public.documents",
    "copying out": "COPY public.documents TO STDOUT",
    "copying chunks out": "COPY public.chunks TO STDOUT",
    "statistics": "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats"
    " WHERE tablename IN ('documents', 'chunks')",
    "raw statistics": "SELECT stavalues1::text, stavalues2::text FROM pg_statistic",
    "the other tenant by name": "SELECT * FROM public.documents WHERE tenant_id = '{other}'",
    "a union past the filter": "SELECT * FROM public.documents WHERE tenant_id = '{own}'"
    " UNION ALL SELECT * FROM public.documents WHERE tenant_id = '{other}'",
    "a function that is run first": "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean COST 0.0001"
    " LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$;"
    " SELECT 1 FROM public.documents WHERE pg_temp.tell(body)",
    "a division by a foreign row": "SELECT 1 FROM public.documents"
    " WHERE 1 / (CASE WHEN tenant_id = '{other}' THEN 0 ELSE 1 END) = 1",
    "an error that quotes a value": "SELECT body::integer FROM public.documents",
    "a lock on foreign rows": "SELECT * FROM public.documents WHERE tenant_id = '{other}'"
    " FOR UPDATE",
    "the clean-up's list": "SELECT * FROM rag.due_cleanup(100)",
    "the users": "SELECT * FROM auth.users",
    "what others are asking": "SELECT query FROM pg_stat_activity",
    "a file of the server": "SELECT pg_read_file('PG_VERSION')",
    "a program of the server": "COPY (SELECT 1) TO PROGRAM 'true'",
}


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["metadata", "edge"])
def test_no_way_round_the_policies_shows_content(
    canaries: Canaries, sessions: Any, metadata: Admin, evidence: Evidence
) -> None:
    """With the claims of one tenant and one persona, no setting, copy, statistic, error, function
    or lock of SQL MUST show content of another namespace."""
    hunter, quarry = canaries.pair()
    finder = canaries.finder(hunter.id, "work")
    with metadata() as admin:
        admin.execute("ANALYZE public.documents, public.chunks")
    found: list[Leak] = []
    for role in ("rag_gateway", "rag_gateway as authenticated"):
        with sessions(role) as connection:
            for name, statement in ESCAPES.items():
                if name == "what others are asking" and role == "rag_gateway":
                    # The statements of its own other sessions are its own to see.
                    continue
                asked = statement.replace("{own}", hunter.id).replace("{other}", quarry.id)
                told = _told(connection, asked, _claims(hunter.id, ["work"]))
                found += _leaked(finder, f"{role}: {name}", asked, told)
    require_no_leak(
        evidence, f"{len(ESCAPES)} ways round, as two roles, show nothing foreign", found
    )


def _told(connection: psycopg.Connection, statements: str, claims: str) -> str:
    """All that the session is told: rows, copied data, notices and errors."""
    told: list[str] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        told.append(str(notice.message_primary))

    connection.add_notice_handler(note)
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,))
        if "TO STDOUT" in statements:
            with cursor.copy(statements.encode()) as copy:
                told += [bytes(block).decode(errors="replace") for block in copy]
            return "\n".join(told)
        cursor.execute(statements.encode())
        more: bool | None = True
        while more:
            told += [str(row) for row in (cursor.fetchall() if cursor.description else [])]
            more = cursor.nextset()
    except psycopg.Error as error:
        told.append(f"{error} {error.diag.message_detail} {error.diag.context}")
    finally:
        connection.rollback()
        connection.remove_notice_handler(note)
    return "\n".join(told)


def _leaked(finder: Finder, probe: str, statement: str, told: str) -> list[Leak]:
    return [
        Leak(
            probe=probe,
            asker="a session of the metadata store",
            request=statement,
            where="result",
            found=excerpt(told, marker.word),
            whose=marker.whose,
            marker=marker.word,
        )
        for marker in finder.find(told)
        if marker.word not in statement
    ]


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
    canaries: Canaries, sessions: Any, metadata: Admin, evidence: Evidence
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
                touched = _touched(connection, statement, _claims(hunter.id, ["work"]))
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
    for schema, name in _tables(admin):
        query = sql.SQL(
            "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
            " WHERE NOT (tenant_id = %s AND persona = 'work')"
        ).format(sql.Identifier(schema, name))
        row = admin.execute(query, (tenant,)).fetchone()
        found[f"{schema}.{name}"] = str(row[0]) if row else ""
    rules = "SELECT md5(string_agg(p::text, '|' ORDER BY p::text)) FROM pg_policies p"
    found["policies"] = str((admin.execute(rules).fetchone() or [""])[0])
    return found
