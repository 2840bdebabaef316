"""What a database holds, table by table: counts and sums that no order or layout changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

# The text of a value must not hang on who asks.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # A role that row-level security binds gets an error here, not a part of the rows.
    "row_security": "off",
}

Name = tuple[str, str]
"""A schema and a table in it."""

Tables = dict[str, dict[str, Any]]
"""By ``schema.table``: ``rows`` and ``sum`` (of a 64-bit hash of each row's text)."""


def names(connection: psycopg.Connection[Any]) -> list[Name]:
    """Return every table outside the system's schemas, sorted.

    Unlogged ones are left out: PostgreSQL empties them in every recovery, of whatever backup.
    """
    found = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 'u'"
        " AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        " ORDER BY 1, 2"
    ).fetchall()
    return [(str(schema), str(table)) for schema, table in found]


def read(connection: psycopg.Connection[Any], wanted: Iterable[Name]) -> Tables:
    """Return the content of these tables; one moment only inside a transaction that is one."""
    for name, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, true)", [name, value])
    found: Tables = {}
    for schema, table in wanted:
        row = connection.execute(
            sql.SQL(
                "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text"
                " FROM {} AS t"
            ).format(sql.Identifier(schema, table))
        ).fetchone()
        assert row is not None
        found[f"{schema}.{table}"] = {"rows": row[0], "sum": row[1]}
    return found


def content(connection: psycopg.Connection[Any]) -> Tables:
    """Return the content of every table outside the system's schemas, in one snapshot."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return read(connection, names(connection))


def differences(before: Tables, after: Tables) -> list[str]:
    """Return one sentence for each table that differs."""
    found = []
    for name in sorted(set(before) | set(after)):
        one, other = before.get(name), after.get(name)
        if one == other:
            continue
        if one is None or other is None:
            found.append(f"{name} is {'new' if one is None else 'missing'}")
        elif one["rows"] != other["rows"]:
            found.append(f"{name} has {other['rows']} rows, not {one['rows']}")
        else:
            found.append(f"{name} has other content in its {one['rows']} rows")
    return found
