"""isolation/query and isolation/write below the gateway: the metadata store's row-level security,
proven from SQL as each role, with claims and without."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from fixtures.canaries import Canaries, require_no_leak
from fixtures.stores import Sessions, claims_of, tenant_tables
from harness import conformance, needs
from harness.checks.markers import Finder, Leak, excerpt
from harness.core.evidence import Evidence

Admin = Callable[[], psycopg.Connection]

CLAIMS: dict[str, Callable[[Canaries], str | None]] = {
    "no claims": lambda _: None,
    "empty claims": lambda _: "",
    "claims that are no JSON": lambda _: "{",
    "claims that say nothing": lambda _: "{}",
    "claims of no tenant": lambda _: claims_of(None, ["work", "personal"]),
    "claims of no persona": lambda c: claims_of(c.pair()[0].id, None),
    "claims of an empty list of personas": lambda c: claims_of(c.pair()[0].id, []),
    "claims of a wildcard tenant": lambda _: claims_of("%", ["work", "personal"]),
    "claims of a list of tenants": lambda c: claims_of([t.id for t in c.pair()], ["work"]),
    "claims of a wildcard persona": lambda c: claims_of(c.pair()[0].id, ["*", "%"]),
    "claims of a tenant in capitals": lambda c: claims_of(c.pair()[0].id.upper(), ["work"]),
    "claims of service_role": lambda _: json.dumps({"role": "service_role"}),
    "claims of one persona": lambda c: claims_of(c.pair()[0].id, ["work"]),
    "claims of one tenant": lambda c: claims_of(c.pair()[0].id, ["work", "personal"]),
}

ROLES = ("rag_gateway", "rag_gateway as authenticated", "rag_auth", "anon", "authenticated")


@conformance("isolation/query", since="0.2")
@needs("read", roles=["metadata"])
def test_every_table_with_a_tenant_is_bound(metadata: Admin, evidence: Evidence) -> None:
    """Each table that names a tenant MUST have row-level security switched on, forced and ruled by
    a policy, and no role, view or function MUST lead a service or a customer past it."""
    with metadata() as admin:
        tables = tenant_tables(admin)
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
        views, functions = _past_it(admin, tables)
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
        "no view of such a table reads with its owner's rights",
        not views,
        expected="security_invoker=true on each, and no copy of what such a table held",
        actual=views or "none",
    )
    evidence.require(
        "no function of a passing role reads documents past it for a service",
        not functions,
        expected="no SECURITY DEFINER function that names a table with texts",
        actual=functions or "none",
    )
    evidence.require(
        "no function runs past it for anybody who asks",
        not public,
        expected="no SECURITY DEFINER function of a passing role for anon or authenticated",
        actual=[str(name) for (name,) in public] or "none",
    )


def _past_it(
    admin: psycopg.Connection, tables: list[tuple[str, str]]
) -> tuple[list[str], list[str]]:
    """Return the views of these tables that anybody may read with the owner's rights, whatever
    columns they show, and the functions that read texts of them with a passing role's rights."""
    names = [f"{schema}.{name}" for schema, name in tables]
    views = admin.execute(
        "WITH RECURSIVE seen AS (SELECT unnest(%s::text[])::regclass::oid AS oid UNION"
        " SELECT r.ev_class FROM seen s JOIN pg_depend d ON d.refobjid = s.oid"
        " AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass"
        " JOIN pg_rewrite r ON r.oid = d.objid)"
        " SELECT DISTINCT c.oid::regclass::text FROM seen JOIN pg_class c USING (oid)"
        " WHERE c.relkind = 'm' OR (c.relkind = 'v'"
        "  AND NOT 'security_invoker=true' = ANY (coalesce(c.reloptions, '{}')))",
        (names,),
    ).fetchall()
    texts = admin.execute(
        "SELECT DISTINCT c.relname FROM unnest(%s::text[]) AS t (name)"
        " JOIN pg_class c ON c.oid = t.name::regclass JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE a.attname IN ('body', 'text', 'content', 'metadata') AND NOT a.attisdropped",
        (names,),
    ).fetchall()
    functions = admin.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner"
        " WHERE p.prosecdef AND (o.rolbypassrls OR o.rolsuper)"
        " AND p.pronamespace NOT IN ('pg_catalog'::regnamespace)"
        " AND pg_get_functiondef(p.oid) ~* ('\\m(' || array_to_string(%s::text[], '|') || ')\\M')"
        " AND EXISTS (SELECT FROM pg_roles l WHERE l.rolcanlogin AND NOT l.rolsuper"
        "  AND has_function_privilege(l.oid, p.oid, 'EXECUTE')) AND p.prokind IN ('f', 'p')",
        ([name for (name,) in texts],),
    ).fetchall()
    return [str(name) for (name,) in views], [str(name) for (name,) in functions]


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["metadata", "edge"])
@pytest.mark.parametrize("role", ROLES)
def test_each_role_reads_what_its_claims_allow(
    role: str, canaries: Canaries, sessions: Sessions, metadata: Admin, evidence: Evidence
) -> None:
    """In SQL, a role MUST read exactly the rows of its claims' tenant and personas, and none
    without claims."""
    may_read = role.endswith("authenticated")
    with metadata() as admin:
        tables = tenant_tables(admin)
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
    canaries: Canaries, sessions: Sessions, metadata: Admin, evidence: Evidence
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
                told = _told(connection, asked, claims_of(hunter.id, ["work"]))
                found += _leaked(finder, f"{role}: {name}", asked, told)
    require_no_leak(
        evidence, f"{len(ESCAPES)} ways round, as two roles, show nothing foreign", found
    )


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["metadata", "edge"])
@pytest.mark.parametrize("role", ROLES)
def test_nothing_that_a_role_may_read_holds_foreign_content(
    role: str, canaries: Canaries, sessions: Sessions, evidence: Evidence
) -> None:
    """With the claims of one tenant and one persona, no table or view that a role may read MUST
    show content of another namespace, whatever it was made for."""
    hunter, _ = canaries.pair()
    claims = claims_of(hunter.id, ["work"])
    # Accounts name their tenants; of what tenants have written they hold nothing at all.
    accounts = role == "rag_auth"
    finder = canaries.everything() if accounts else canaries.finder(hunter.id, "work")
    found: list[Leak] = []
    with sessions(role) as connection:
        names = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f')"
            " AND n.nspname !~ '^(pg_|information_schema)'"
            " AND has_schema_privilege(n.oid, 'USAGE')"
            " AND has_any_column_privilege(c.oid, 'SELECT') ORDER BY 1"
        ).fetchall()
        connection.rollback()
        for (name,) in names:
            # The name is the server's own, quoted where it has to be.
            statement = f"SELECT * FROM {name}"
            found += _leaked(finder, f"{role}: {name}", statement, _told(connection, statement,
                                                                        claims))  # fmt: skip
    tables = [str(name) for (name,) in names]
    require_no_leak(evidence, f"{role}: {len(tables)} relations hold nothing foreign", found,
                    relations=tables)  # fmt: skip


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
