"""The deployment job: schema, roles, row-level security, collections, indexes and the alias.

`python -m refstack.gateway.migrate` may be run again at any time; it changes what differs and
leaves the rest. An alias that is there already is never moved: that would promote a model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from refstack.common.settings import Environment, SettingError
from refstack.gateway.settings import MODEL_DIMENSIONS, collection_of, read_alias

ADVISORY_LOCK = 0x52414744
"""Two jobs at once would collide on the roles, which all databases of a server share."""

PAYLOAD_INDEXES: dict[str, dict[str, Any]] = {
    "tenant_id": {"type": "keyword", "is_tenant": True},
    "persona": {"type": "keyword"},
    "document_id": {"type": "keyword"},
    "chunk_id": {"type": "keyword"},
    "tier": {"type": "keyword"},
    "ingested_at": {"type": "datetime"},
}


class MigrationError(Exception):
    """The deployment cannot be brought to the wanted state; the text says what to do."""


@dataclass(frozen=True)
class Wanted:
    """What the job is to bring about."""

    database_url: str
    gateway_password: str
    auth_password: str
    vectordb_url: str
    vectordb_api_key: str
    models: tuple[str, ...]
    alias: str


def read_wanted(env: Environment) -> Wanted:
    """Read the job's settings. Raises `SettingError`."""
    return Wanted(
        database_url=env.url("MIGRATE_DATABASE_URL", schemes=("postgresql", "postgres")),
        gateway_password=env.secret("MIGRATE_GATEWAY_PASSWORD"),
        auth_password=env.secret("MIGRATE_AUTH_PASSWORD"),
        vectordb_url=env.url("MIGRATE_VECTORDB_URL"),
        vectordb_api_key=env.secret("MIGRATE_VECTORDB_API_KEY", shortest=1),
        models=env.names("MIGRATE_EMBED_MODELS", choices=tuple(MODEL_DIMENSIONS)),
        alias=read_alias(env),
    )


def sql_files(service: str) -> list[Path]:
    """The SQL files that a service of the reference stack ships, in the order of their names."""
    return sorted((Path(__file__).parents[1] / service / "sql").glob("*.sql"))


def migrate_database(wanted: Wanted) -> None:
    """Bring the database to the wanted state, in one transaction.

    Raises `MigrationError`.
    """
    try:
        with psycopg.connect(wanted.database_url, connect_timeout=5) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            # The gateway's come first: they make the roles that the auth service's rely on.
            for path in (*sql_files("gateway"), *sql_files("auth")):
                _apply(connection, path)
            passwords = {
                "rag_gateway": wanted.gateway_password,
                "rag_auth": wanted.auth_password,
            }
            for role, password in passwords.items():
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(password)
                    )
                )
    except psycopg.OperationalError as error:
        raise MigrationError(
            f"the database at MIGRATE_DATABASE_URL does not serve: {_first_line(error)}"
        ) from None


def _apply(connection: psycopg.Connection[Any], path: Path) -> None:
    try:
        connection.execute(path.read_text(encoding="utf-8").encode())
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        name = f"{path.parents[1].name}/sql/{path.name}"
        raise MigrationError(f"{name} was refused: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class Collections:
    """The vector store's collections, as the job needs them."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            response = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise MigrationError(
                f"the vector store at MIGRATE_VECTORDB_URL does not serve: {_first_line(error)}"
            ) from None
        if response.status_code != 200:
            raise MigrationError(
                f"the vector store refused {method} {path} with {response.status_code}: "
                f"{response.text[:200]}"
            )
        return response.json()["result"]

    def ensure(self, name: str, dimension: int) -> bool:
        """Have a collection of this dimension with all payload indexes; True if it was made.

        Raises `MigrationError` if one with another dimension or distance is there.
        """
        wanted = {"size": dimension, "distance": "Cosine"}
        made = not self._call("GET", f"/collections/{name}/exists")["exists"]
        if made:
            self._call("PUT", f"/collections/{name}", {"vectors": wanted})
        info = self._call("GET", f"/collections/{name}")
        there = info["config"]["params"]["vectors"]
        if {key: there.get(key) for key in wanted} != wanted:
            raise MigrationError(
                f"the collection {name} has vectors {there}, wanted are {wanted}: move it away, "
                "or take another GATEWAY_COLLECTION_ALIAS"
            )
        for field, schema in PAYLOAD_INDEXES.items():
            if field not in info.get("payload_schema", {}):
                body = {"field_name": field, "field_schema": schema}
                self._call("PUT", f"/collections/{name}/index?wait=true", body)
        return made

    def ensure_alias(self, alias: str, collection: str) -> str:
        """Have the alias; returns the collection it points at, which may be another one."""
        for entry in self._call("GET", "/aliases")["aliases"]:
            if entry["alias_name"] == alias:
                return str(entry["collection_name"])
        action = {"create_alias": {"alias_name": alias, "collection_name": collection}}
        self._call("POST", "/collections/aliases", {"actions": [action]})
        return collection


def migrate_vectors(wanted: Wanted) -> list[str]:
    """Bring the vector store to the wanted state; returns lines on what was found and made.

    Raises `MigrationError`.
    """
    lines = []
    headers = {"api-key": wanted.vectordb_api_key}
    with httpx.Client(
        base_url=wanted.vectordb_url, headers=headers, timeout=30.0, trust_env=False
    ) as client:
        collections = Collections(client)
        for model in wanted.models:
            name = collection_of(wanted.alias, model)
            made = collections.ensure(name, MODEL_DIMENSIONS[model])
            lines.append(f"collection {name}: {'made' if made else 'was there'}")
        stable = collection_of(wanted.alias, wanted.models[0])
        target = collections.ensure_alias(wanted.alias, stable)
    note = "" if target == stable else f"; not moved to {stable}, which would promote a model"
    lines.append(f"alias {wanted.alias}: points at {target}{note}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 when done, 1 when it could not be done, 2 for a bad setting."""
    if argv:
        print("refstack.gateway.migrate takes no arguments; see its settings", file=sys.stderr)
        return 2
    try:
        wanted = read_wanted(Environment(os.environ))
        migrate_database(wanted)
        print("database: schema, roles and row-level security are in place")
        for line in migrate_vectors(wanted):
            print(line)
    except SettingError as error:
        print(f"refstack.gateway.migrate: {error}", file=sys.stderr)
        return 2
    except MigrationError as error:
        print(f"refstack.gateway.migrate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
