"""What requests hold and what accounts look like in JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request

from refstack.auth.errors import AuthError, invalid
from refstack.auth.passwords import LONGEST, SHORTEST
from refstack.auth.store import User
from refstack.common.responses import read_body

MOST_BYTES = 64 << 10
_ADDRESS = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


async def read_fields(request: Request, known: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object of a request; raises AuthError for other bodies and unknown fields."""
    try:
        fields = orjson.loads(await read_body(request, MOST_BYTES))
    except ValueError:
        raise invalid("The body is not valid JSON") from None
    if not isinstance(fields, dict):
        raise invalid("The body must be a JSON object")
    if any(name not in known for name in fields):
        raise invalid(f"Unknown field; the fields are {', '.join(known)}")
    if b"\\u0000" in orjson.dumps(fields):
        raise invalid("No text may hold the character NUL")
    return fields


def email_of(fields: dict[str, Any]) -> str:
    """The address in lower case."""
    email = fields.get("email")
    if not isinstance(email, str) or not _ADDRESS.fullmatch(email):
        raise invalid("`email` must be an address such as name@example.org")
    return email.lower()


def password_of(fields: dict[str, Any]) -> str:
    """A password that may be set."""
    password = fields.get("password")
    if not isinstance(password, str) or len(password) > LONGEST:
        raise invalid(f"`password` must be a text of at most {LONGEST} characters")
    if len(password) < SHORTEST:
        raise AuthError(422, "weak_password", f"A password needs {SHORTEST} characters or more")
    return password


def object_of(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """A JSON object, empty where the field is missing."""
    value = fields.get(name, {})
    if not isinstance(value, dict):
        raise invalid(f"`{name}` must be a JSON object")
    return value


def user_body(user: User) -> dict[str, Any]:
    """An account as Supabase Auth shows it, without anything that could sign in."""
    return {
        "id": str(user.id),
        "aud": user.aud,
        "role": user.role,
        "email": user.email,
        "email_confirmed_at": _time(user.created_at),
        "last_sign_in_at": _time(user.last_sign_in_at),
        "banned_until": _time(user.banned_until),
        "app_metadata": user.raw_app_meta_data,
        "user_metadata": user.raw_user_meta_data,
        "created_at": _time(user.created_at),
        "updated_at": _time(user.updated_at),
    }


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
