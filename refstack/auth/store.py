"""Accounts, sessions and refresh tokens in PostgreSQL."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from refstack.common.settings import SettingError

TIMEOUT_S = 3.0
Connection = psycopg.AsyncConnection[Any]
Unreachable = (psycopg.OperationalError, PoolTimeout)
"""What a lost or missing database raises."""

_USER = """id, aud, role, email, encrypted_password, raw_app_meta_data, raw_user_meta_data,
           banned_until, coalesce(banned_until > now(), false) AS banned,
           last_sign_in_at, created_at, updated_at"""


class EmailTaken(Exception):
    """Another account has the address."""


class Reused(Exception):
    """A refresh token was used again: its session has ended."""


@dataclass(frozen=True)
class User:
    """One row of auth.users, with whether a ban is in force."""

    id: UUID
    aud: str
    role: str
    email: str
    encrypted_password: str
    raw_app_meta_data: dict[str, Any]
    raw_user_meta_data: dict[str, Any]
    banned_until: datetime | None
    banned: bool
    last_sign_in_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Grant:
    """A session that a token may be issued for."""

    user: User
    session_id: UUID
    refresh_token: str


class Store:
    """Every method raises one of Unreachable when the database does not answer."""

    def __init__(self, dsn: str, reuse_interval_s: int) -> None:
        self._reuse_interval = reuse_interval_s
        try:
            psycopg.conninfo.conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            raise SettingError(
                "AUTH_DATABASE_URL", dsn, "a PostgreSQL connection string", secret=True
            ) from None
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=6,
            timeout=TIMEOUT_S,
            max_waiting=256,
            reconnect_timeout=5,
            open=False,
            # A connection that died with the server is noticed before a request is given it.
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "application_name": "ragdrill-auth",
                "connect_timeout": int(TIMEOUT_S),
                "options": f"-c statement_timeout={int(TIMEOUT_S * 1000)}",
            },
        )

    async def open(self) -> None:
        """Start connecting, without waiting for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Let the connections go."""
        await self._pool.close(timeout=1.0)

    async def check(self) -> str | None:
        """None when the tables answer, else why not; holds nothing of the connection string."""
        try:
            async with self._pool.connection(timeout=1.0) as connection:
                await connection.execute("SELECT FROM auth.users LIMIT 1")
        except PoolTimeout:
            return "no connection within 1 s"
        except psycopg.Error as error:
            return type(error).__name__
        return None

    async def create(
        self, email: str, password_hash: str, app: dict[str, Any], user: dict[str, Any]
    ) -> User:
        """A new account; raises EmailTaken."""
        try:
            found = await self._one(
                f"""INSERT INTO auth.users
                        (email, encrypted_password, raw_app_meta_data, raw_user_meta_data)
                    VALUES (%s, %s, %s, %s) RETURNING {_USER}""",
                (email, password_hash, Jsonb(app), Jsonb(user)),
            )
        except psycopg.errors.UniqueViolation:
            raise EmailTaken from None
        assert found is not None
        return found

    async def by_id(self, user_id: UUID) -> User | None:
        """The account of this id."""
        return await self._one(f"SELECT {_USER} FROM auth.users WHERE id = %s", (user_id,))

    async def by_email(self, email: str) -> User | None:
        """The account of this address, given in lower case."""
        return await self._one(f"SELECT {_USER} FROM auth.users WHERE email = %s", (email,))

    async def page(self, limit: int, offset: int) -> tuple[list[User], int]:
        """Accounts, newest first, and how many there are."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(User))
            await cursor.execute(
                f"""SELECT {_USER} FROM auth.users
                    ORDER BY auth.users.created_at DESC, id LIMIT %s OFFSET %s""",
                (limit, offset),
            )
            users = await cursor.fetchall()
            counted = await connection.execute("SELECT count(*) FROM auth.users")
            row = await counted.fetchone()
            return users, row[0] if row else 0

    async def update(self, user_id: UUID, changes: dict[str, Any]) -> User | None:
        """Change columns of an account; a new password or a ban ends its sessions.

        `raw_app_meta_data` and `raw_user_meta_data` are merged, and a null takes a name away.
        `banned_until` is an interval such as `24 hours` from now, or None. Raises EmailTaken.
        """
        settings = ["updated_at = now()"]
        values: list[Any] = []
        for column, value in changes.items():
            match column:
                case "raw_app_meta_data" | "raw_user_meta_data":
                    settings.append(f"{column} = ({column} || %s) - %s::text[]")
                    values.append(Jsonb(value))
                    values.append([name for name, one in value.items() if one is None])
                case "banned_until":
                    settings.append("banned_until = now() + %s::interval")
                    values.append(value)
                case "email" | "encrypted_password":
                    settings.append(f"{column} = %s")
                    values.append(value)
                case _:
                    raise ValueError(column)
        ends_sessions = "encrypted_password" in changes or changes.get("banned_until")
        try:
            async with self._pool.connection() as connection, connection.transaction():
                cursor = connection.cursor(row_factory=class_row(User))
                await cursor.execute(
                    f"UPDATE auth.users SET {', '.join(settings)} WHERE id = %s RETURNING {_USER}",
                    (*values, user_id),
                )
                if ends_sessions:
                    await connection.execute(
                        "DELETE FROM auth.sessions WHERE user_id = %s", (user_id,)
                    )
                return await cursor.fetchone()
        except psycopg.errors.UniqueViolation:
            raise EmailTaken from None

    async def delete(self, user_id: UUID) -> bool:
        """Remove an account with its sessions; whether there was one."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("DELETE FROM auth.users WHERE id = %s", (user_id,))
            return cursor.rowcount == 1

    async def has_session(self, session_id: UUID, user_id: UUID) -> bool:
        """Whether the session is still open."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT FROM auth.sessions WHERE id = %s AND user_id = %s", (session_id, user_id)
            )
            return await cursor.fetchone() is not None

    async def sign_in(self, user_id: UUID) -> Grant | None:
        """Open a session; None where the account has gone meanwhile."""
        async with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=class_row(User))
            await cursor.execute(
                f"""UPDATE auth.users SET last_sign_in_at = now()
                    WHERE id = %s RETURNING {_USER}""",
                (user_id,),
            )
            user = await cursor.fetchone()
            if user is None:
                return None
            opened = await connection.execute(
                "INSERT INTO auth.sessions (user_id) VALUES (%s) RETURNING id", (user_id,)
            )
            row = await opened.fetchone()
            assert row is not None
            return Grant(user, row[0], await _issue(connection, row[0]))

    async def refresh(self, token: str) -> Grant | None:
        """Trade a refresh token for a new one; None for a token that is not known.

        A token that was used before is taken once more within the reuse interval, for clients
        that lost the answer. Later it is a sign of theft: the session ends and Reused is raised.
        """
        async with self._pool.connection() as connection:
            async with connection.transaction():
                grant = await self._rotate(connection, token)
            # Raised after the commit: an exception inside would bring the session back.
            if isinstance(grant, Reused):
                raise grant
            return grant

    async def _rotate(self, connection: Connection, token: str) -> Grant | Reused | None:
        cursor = await connection.execute(
            """SELECT t.session_id, s.user_id,
                      t.used_at < clock_timestamp() - make_interval(secs => %s)
               FROM auth.refresh_tokens t JOIN auth.sessions s ON s.id = t.session_id
               WHERE t.digest = %s FOR UPDATE OF t""",
            (self._reuse_interval, _digest(token)),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        session_id, user_id, reused = row
        if reused:
            await connection.execute("DELETE FROM auth.sessions WHERE id = %s", (session_id,))
            return Reused()
        await connection.execute(
            """UPDATE auth.refresh_tokens SET used_at = coalesce(used_at, clock_timestamp())
               WHERE digest = %s""",
            (_digest(token),),
        )
        users = connection.cursor(row_factory=class_row(User))
        await users.execute(f"SELECT {_USER} FROM auth.users WHERE id = %s", (user_id,))
        user = await users.fetchone()
        if user is None:
            return None
        return Grant(user, session_id, await _issue(connection, session_id))

    async def _one(self, query: str, values: tuple[Any, ...]) -> User | None:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(User))
            await cursor.execute(query, values)
            return await cursor.fetchone()


async def _issue(connection: Connection, session_id: UUID) -> str:
    token = secrets.token_urlsafe(32)
    await connection.execute(
        "INSERT INTO auth.refresh_tokens (digest, session_id) VALUES (%s, %s)",
        (_digest(token), session_id),
    )
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
