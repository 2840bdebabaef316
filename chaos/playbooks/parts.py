"""How a step asks whether one part of a target serves: by itself, and as the gateway sees it."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg

from chaos.playbooks.base import Seen
from harness.core.errors import TargetError
from harness.drivers.base import Stack

ASK_S = 2.0
"""Seconds after which a part that has not answered does not serve; it takes milliseconds else."""

PATHS = {
    "gateway": "/healthz",
    "auth": "/health",
    "vectordb": "/readyz",
    "embed": "/healthz",
    "fallback": "/healthz",
    "rerank": "/healthz",
    "edge": "/healthz",
}
"""What needs no credential and shows that the part's process answers."""


def problem_of(stack: Stack, role: str) -> str | None:
    """Ask a part itself, past every proxy: ``None`` if it answers, else why it does not.

    Raises:
        TargetError: there is no way to ask this role.
    """
    if role == "metadata":
        return _database_problem(stack)
    if role not in PATHS:
        raise TargetError(
            f"There is no way to ask {role!r} whether it serves.",
            expected=", ".join(["metadata", *PATHS]),
        )
    try:
        url = stack.endpoint(role).url + PATHS[role]
        answer = httpx.get(url, timeout=ASK_S, trust_env=False)
    except httpx.HTTPError as error:
        return type(error).__name__
    return None if answer.status_code < 400 else f"status {answer.status_code}"


def _database_problem(stack: Stack) -> str | None:
    dsn = stack.credentials("metadata").get("admin_dsn")
    if dsn is None:
        raise TargetError(
            "The metadata store can't be asked.", expected="its admin_dsn in the target file"
        )
    try:
        with psycopg.connect(
            dsn,
            connect_timeout=int(ASK_S),
            options=f"-c statement_timeout={int(ASK_S * 1000)}",
            autocommit=True,
        ) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        # The message may quote the DSN.
        return type(error).__name__
    return None


def gateway_says(stack: Stack, part: str) -> str | None:
    """Return why the gateway would not serve because of a part; ``None`` if that is not so.

    Raises:
        TargetError: the gateway does not tell (it is down itself, or hung).
    """
    url = stack.endpoint("gateway").url + "/readyz"
    try:
        answer: Any = httpx.get(url, timeout=4 * ASK_S, trust_env=False).json()
        told = answer.get("dependencies", {}).get(part)
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        raise TargetError(
            "The gateway's readiness can't be read.",
            expected=f"GET {url} with JSON",
            actual=f"{type(error).__name__}: {error}",
            next_step="look at the gateway itself first: the step gateway-restart",
        ) from error
    return None if told in (None, "ok") else str(told)


def down(stack: Stack, role: str) -> Seen:
    """Whether a part neither answers by itself nor to the gateway: a restart may help."""
    own, seen = problem_of(stack, role), gateway_says(stack, role)
    return Seen(own is not None and seen is not None, {"itself": own or "ok", "gateway": seen})


def serves(stack: Stack, role: str) -> Seen:
    """Whether a part answers by itself again."""
    own = problem_of(stack, role)
    return Seen(own is None, {"itself": own or "ok"})
