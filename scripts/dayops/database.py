"""A recovered database goes live: copied beside the one that serves, compared, then renamed."""

from __future__ import annotations

import re
import subprocess
import time
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from harness.core.errors import TargetError
from scripts.dayops import postgres, tables
from scripts.dayops.script import Log, Refused

MAINTENANCE = "postgres"
PREVIOUS_SUFFIX = "_before_restore"
FRESH_SUFFIX = "_restoring"
_QUIET_S = 20.0
_LISTS = frozenset(
    {
        *("search_path", "temp_tablespaces", "unix_socket_directories"),
        *("local_preload_libraries", "session_preload_libraries", "shared_preload_libraries"),
    }
)
"""Settings that are lists of names (PostgreSQL: GUC_LIST_QUOTE)."""


class Live:
    """The server that serves, and the name of its database."""

    def __init__(self, dsn: str, programs: postgres.Programs, log: Log) -> None:
        self._dsn, self._programs, self._log = dsn, programs, log
        self.name = str(conninfo_to_dict(dsn).get("dbname") or MAINTENANCE)
        self.fresh, self.previous = self.name + FRESH_SUFFIX, self.name + PREVIOUS_SUFFIX

    def _maintain(self) -> psycopg.Connection[Any]:
        return postgres.connect(self._dsn, dbname=MAINTENANCE)

    def copy(self, source: postgres.Scratch, database: str) -> dict[str, Any]:
        """Copy a recovered database beside the live one and compare; returns what it holds.

        Raises:
            Refused: the copy is not what was recovered. It is dropped, and nothing was changed.
            TargetError: the server or a program failed; nothing was changed.
        """
        with postgres.connect(source.dsn(database)) as origin:
            with self._maintain() as live:
                self._roles(source, live)
                self._create(origin, live, database)
            try:
                self._transfer(source, database)
                with postgres.connect(self._dsn, dbname=self.fresh) as copied:
                    found, wanted = tables.content(copied), tables.content(origin)
                problems = tables.differences(wanted, found)
                if problems:
                    raise Refused(
                        "The copy of the recovered database is not what was recovered.",
                        expected="the same rows in every table",
                        actual="; ".join(problems[:5]),
                    )
            except BaseException:
                self.discard()
                raise
        return {"tables": len(found), "rows": sum(each["rows"] for each in found.values())}

    def discard(self) -> None:
        """Drop the copy."""
        with self._maintain() as live:
            live.execute(_database("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.fresh))

    def switch(self, *, keep_previous: bool) -> None:
        """Put the copy in the place of the live database, in one transaction.

        The former one stays as ``<name>_before_restore`` unless ``keep_previous`` is false.

        Raises:
            TargetError: it can't be done; the live database stays what it was.
        """
        with self._maintain() as live:
            there = self._exists(live, self.name)
            live.execute(_database("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.previous))
            if there:
                self._rename(live)
                if keep_previous:
                    live.execute(
                        _database("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.previous)
                    )
                else:
                    live.execute(_database("DROP DATABASE {} WITH (FORCE)", self.previous))
            else:
                live.execute(_database("ALTER DATABASE {} RENAME TO {}", self.fresh, self.name))

    def _rename(self, live: psycopg.Connection[Any]) -> None:
        live.execute(_database("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name))
        try:
            deadline = time.monotonic() + _QUIET_S
            while True:
                live.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = ANY(%s) AND pid <> pg_backend_pid()",
                    [[self.name, self.fresh]],
                )
                try:
                    with live.transaction():
                        live.execute(
                            _database("ALTER DATABASE {} RENAME TO {}", self.name, self.previous)
                        )
                        live.execute(
                            _database("ALTER DATABASE {} RENAME TO {}", self.fresh, self.name)
                        )
                    return
                except psycopg.errors.ObjectInUse as error:
                    if time.monotonic() > deadline:
                        raise TargetError(
                            f"Somebody is still in the database {self.name}.",
                            expected=f"nobody within {_QUIET_S:.0f} s",
                            actual=str(error).strip(),
                            next_step="stop the writers and run this again",
                        ) from error
                    time.sleep(0.1)
        except BaseException:
            live.execute(_database("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name))
            raise

    @staticmethod
    def _exists(live: psycopg.Connection[Any], name: str) -> bool:
        row = live.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        return row is not None

    def _create(
        self, origin: psycopg.Connection[Any], live: psycopg.Connection[Any], database: str
    ) -> None:
        live.execute(_database("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.fresh))
        row = origin.execute(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype,"
            " pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s",
            [database],
        ).fetchone()
        assert row is not None
        encoding, collate, ctype, owner = row
        live.execute(
            sql.SQL(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
                " OWNER {}"
            ).format(
                sql.Identifier(self.fresh),
                *(sql.Literal(each) for each in (encoding, collate, ctype)),
                sql.Identifier(owner),
            )
        )
        self._settings(origin, live, database)

    def _settings(
        self, origin: psycopg.Connection[Any], live: psycopg.Connection[Any], database: str
    ) -> None:
        """Rights on the database, its settings and comment, which no dump of its content has."""
        rights = origin.execute(
            "SELECT pg_get_userbyid(grantee), grantee = 0, privilege_type, is_grantable"
            " FROM pg_database, aclexplode(datacl) WHERE datname = %s",
            [database],
        ).fetchall()
        if rights:
            live.execute(_database("REVOKE ALL ON DATABASE {} FROM PUBLIC", self.fresh))
        for grantee, everybody, privilege, grantable in rights:
            whom = sql.SQL("PUBLIC") if everybody else sql.Identifier(grantee)
            live.execute(
                sql.SQL("GRANT {} ON DATABASE {} TO {} {}").format(
                    sql.SQL(privilege),
                    sql.Identifier(self.fresh),
                    whom,
                    sql.SQL("WITH GRANT OPTION" if grantable else ""),
                )
            )
        for (setting,) in origin.execute(
            "SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d"
            " ON d.oid = s.setdatabase WHERE d.datname = %s AND s.setrole = 0",
            [database],
        ).fetchall():
            name, _, value = setting.partition("=")
            # A list is stored as it was quoted; quoted again it would be one long name.
            given = sql.SQL(value) if name in _LISTS else sql.Literal(value)
            live.execute(
                sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                    sql.Identifier(self.fresh), sql.Identifier(name), given
                )
            )
        (said,) = origin.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            [database],
        ).fetchone() or (None,)
        if said is not None:
            live.execute(
                sql.SQL("COMMENT ON DATABASE {} IS {}").format(
                    sql.Identifier(self.fresh), sql.Literal(said)
                )
            )

    def _roles(self, source: postgres.Scratch, live: psycopg.Connection[Any]) -> None:
        """Make the roles that the live server lacks; those it has keep rights and passwords."""
        told = self._programs.run(
            "pg_dumpall", "--roles-only", env=postgres.connection_variables(source.dsn("postgres"))
        ).stdout
        there = {row[0] for row in live.execute("SELECT rolname FROM pg_roles").fetchall()}
        made = []
        for line in told.splitlines():
            found = re.match(r'(CREATE|ALTER) ROLE ("(?:[^"]|"")+"|\S+?)(?:;| )', line)
            if found:
                name = found[2].strip('"').replace('""', '"')
                if name in there:
                    continue
                made += [name] if found[1] == "CREATE" else []
                live.execute(line.encode())
            elif line.startswith("GRANT "):
                # Who granted it may not be there, and does not matter to who may do what.
                live.execute(re.sub(r" GRANTED BY [^;]+;", ";", line).encode())
        if made:
            self._log.event("roles_made", roles=made)

    def _transfer(self, source: postgres.Scratch, database: str) -> None:
        there = {**postgres.clean_environment(), **postgres.connection_variables(self._dsn)}
        origin = postgres.connection_variables(source.dsn(database))
        with subprocess.Popen(
            [self._programs["pg_dump"], "--format=custom", "--compress=none"],
            env={**postgres.clean_environment(), **origin},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as dump:
            try:
                done = subprocess.run(
                    [self._programs["pg_restore"], "--exit-on-error", f"--dbname={self.fresh}"],
                    env=there,
                    stdin=dump.stdout,
                    capture_output=True,
                    text=True,
                )
                assert dump.stdout is not None and dump.stderr is not None
                dump.stdout.close()
                words = dump.stderr.read().decode(errors="replace")
                code = dump.wait()
            except BaseException:
                dump.kill()
                raise
        if done.returncode or code:
            raise TargetError(
                "The recovered database could not be copied to the live server.",
                expected="pg_dump and pg_restore to end with 0",
                actual=f"{code}, {done.returncode}: {(done.stderr or words).strip()[-600:]}",
                next_step="see what the server lacks (room, an extension), and run this again",
            )


def _database(text: str, *names: str) -> sql.Composed:
    return sql.SQL(text).format(*(sql.Identifier(name) for name in names))
