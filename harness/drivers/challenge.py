"""Proof that a target is one that its operator gave to be broken: a token only they can place."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import minio
import psycopg
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from harness.core.errors import TargetError, UsageError
from harness.core.target import Permission, TargetFile
from harness.drivers.base import Stack

HARMFUL: tuple[Permission, ...] = ("restart", "fault", "destroy")
"""Permissions that a target gives only after it has answered the challenge."""

WELL_KNOWN = "/.well-known/ragdrill-challenge"
OBJECT = ".ragdrill-challenge"
_TOKEN = re.compile(r"[A-Za-z0-9-]{16,64}")
_PRODUCTION = re.compile(r"(?:^|[^a-z0-9])(?:prod|production|prd|live)(?:[^a-z]|$)", re.IGNORECASE)
_PATIENCE_S = 5.0


def new_token() -> str:
    """A token that nobody has placed anywhere yet."""
    return secrets.token_hex(16)


def harm(target: TargetFile) -> tuple[Permission, ...]:
    """What the target file allows beyond reading and writing."""
    return tuple(each for each in HARMFUL if each in (target.target.allow or ()))


def refuse_production(target: TargetFile) -> None:
    """Refuse to harm what calls itself production by name, tag or host.

    Raises:
        UsageError: names what says so.
    """
    section = target.target
    said = [f"the name {section.name!r}"] if _PRODUCTION.search(section.name) else []
    said += [f"the tag {tag!r}" for tag in section.tags if _PRODUCTION.search(tag)]
    for role, given in target.roles.items():
        host = urlsplit(given.url).hostname or ""
        if _PRODUCTION.search(host):
            said.append(f"the host {host!r} of {role}")
    if said and harm(target):
        raise UsageError(
            "A production target is never broken, restarted or wiped.",
            expected='allow = ["read"] or ["read", "write"]',
            actual=f"allow with {', '.join(harm(target))}, and production by {', '.join(said)}",
            next_step="point the target file at staging, or take these permissions away",
        )


def unanswered(stack: Stack, target: TargetFile) -> dict[str, str]:
    """Return by role what is wrong with its answer to the challenge; empty when all answered.

    Each store that could lose data must answer for itself: a target file may mix up two places.
    Where there is no store, the gateway or edge answers.

    Raises:
        UsageError: the file names no variable with the token, or it holds no token.
    """
    refused, silent, _ = _ask(stack, target)
    return {**refused, **silent}


def _ask(
    stack: Stack, target: TargetFile
) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    """Ask for the token; the problems of those that answered something else, of those that did not
    answer at all, and the roles that were asked."""
    token = _token(target)
    stores = [role for role in STORES if role in target.roles]
    asked = stores or [role for role in ("edge", "gateway") if role in target.roles][:1]
    wiped = wiped_by_the_drill(target)
    asked = [role for role in asked if role not in wiped] or asked
    if not asked:
        return {"target": "no store, edge or gateway is given that could answer"}, {}, ()
    refused: dict[str, str] = {}
    silent: dict[str, str] = {}
    for role in asked:
        try:
            problem = STORES.get(role, _web)(stack, role, token)
        except (httpx.HTTPError, psycopg.Error, HTTPError, minio.error.MinioException) as error:
            told = f"{type(error).__name__}: {error}".strip()
            (silent if _unheard(error) else refused)[role] = told
            continue
        if problem:
            refused[role] = problem
    return refused, silent, tuple(asked)


def mark(target: TargetFile) -> str:
    """Return a digest of the target's token and of where its stores are; empty without a token.

    The addresses are in it so that nobody is excused whose file has come to name another place.
    """
    if target.target.challenge_env is None:
        return ""
    places = sorted((role, target.roles[role].url) for role in STORES if role in target.roles)
    return hashlib.sha256(json.dumps([_token(target), places]).encode()).hexdigest()


def wiped_by_the_drill(target: TargetFile) -> frozenset[str]:
    """The stores that can't answer because the drill that is resumed (``DRILL_RESUME``) wiped them.

    Its run says so with the name of the target and the mark of the token that was answered then;
    for another target, token or address nobody is excused.
    """
    resumed = os.environ.get("DRILL_RESUME")
    if not resumed:
        return frozenset()
    try:
        wiped = json.loads((Path(resumed) / "drill.json").read_text())["facts"]["wiped"]
        same = (wiped["target"], wiped["mark"]) == (target.target.name, mark(target))
        return frozenset(map(str, wiped["roles"])) if same and wiped["mark"] else frozenset()
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _unheard(error: Exception) -> bool:
    """Whether nobody answered, which is another thing than an answer that says no."""
    if isinstance(error, psycopg.OperationalError):
        # What PostgreSQL itself says to who may not come in begins so.
        return "FATAL" not in str(error)
    return isinstance(error, (httpx.TransportError, HTTPError))


def require_answer(stack: Stack, target: TargetFile, *, incident: bool = False) -> None:
    """Let nothing harmful begin on a target that did not answer.

    In an ``incident`` a store may be what is broken, and is to be restarted: one that does not
    answer at all is excused as long as another one has shown that the target is the one meant.

    Raises:
        UsageError: see :func:`unanswered`. TargetError: names each role and what it answered.
    """
    if not harm(target):
        return
    refused, silent, asked = _ask(stack, target)
    excused = incident and not refused and len(silent) < len(asked)
    problems = {} if excused else {**refused, **silent}
    if problems:
        raise TargetError(
            f"The target {stack.name!r} has not answered its challenge, so nothing of it is "
            f"touched: its file allows {', '.join(harm(target))}.",
            expected=f"the token of ${target.target.challenge_env}, placed by its operator",
            actual="; ".join(f"{role}: {problem}" for role, problem in problems.items()),
            next_step="ragdrill challenge --target FILE prints the commands that place it",
        )


def commands(stack: Stack, target: TargetFile, token: str) -> dict[str, str]:
    """Return by role the command with which an operator places the token."""
    told = {}
    if "vectordb" in target.roles:
        url = stack.endpoint("vectordb").url
        action = '{"create_alias": {"collection_name": "COLLECTION", "alias_name": "%s"}}'
        told["vectordb"] = (
            f"curl -X POST {url}/collections/aliases -H 'api-key: ...' "
            "-H 'content-type: application/json' "
            f"-d '{{\"actions\": [{action % _alias(token)}]}}'"
        )
    if "metadata" in target.roles:
        name = urlsplit(stack.endpoint("metadata").url).path.strip("/") or "DATABASE"
        statement = f"COMMENT ON DATABASE {name} IS '{_comment(token)}'"
        told["metadata"] = f'psql ... -c "{statement}"'
    if "objectstore" in target.roles:
        bucket = target.roles["objectstore"].bucket or "BUCKET"
        url = stack.endpoint("objectstore").url
        told["objectstore"] = (
            f"printf %s {token} | aws --endpoint-url {url} s3 cp - s3://{bucket}/{OBJECT}"
        )
    if not told:
        role = "edge" if "edge" in target.roles else "gateway"
        place = stack.endpoint(role).url + WELL_KNOWN
        told[role] = f"serve the text {token} at {place}"
    return told


def _token(target: TargetFile) -> str:
    variable = target.target.challenge_env
    if variable is None:
        raise UsageError(
            "This target may only be read and written: it has no challenge.",
            expected='challenge_env = "RAGDRILL_CHALLENGE" in [target], and the token placed',
            actual=f"allow with {', '.join(harm(target)) or 'nothing harmful'}, no challenge_env",
            next_step="ragdrill challenge --target FILE makes a token and says where it goes",
        )
    token = target.variable(variable, "challenge token of the target")
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            "The challenge token has an unusable form.",
            expected="16 to 64 letters, digits and hyphens",
            actual=f"{len(token)} characters in {variable}",
            next_step="ragdrill challenge --target FILE makes one",
        )
    return token


def _alias(token: str) -> str:
    return f"ragdrill-challenge-{token}"


def _comment(token: str) -> str:
    return f"ragdrill-challenge={token}"


def _vectordb(stack: Stack, role: str, token: str) -> str:
    key = stack.credentials(role).get("api_key")
    answer = httpx.get(
        stack.endpoint(role).url + "/aliases",
        headers={"api-key": key} if key else {},
        timeout=_PATIENCE_S,
        trust_env=False,
    )
    if answer.status_code != 200:
        return f"{answer.status_code} for /aliases"
    names = {each["alias_name"] for each in answer.json()["result"]["aliases"]}
    return "" if _alias(token) in names else "no alias carries the token"


def _metadata(stack: Stack, role: str, token: str) -> str:
    query = (
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
        "WHERE datname = current_database()"
    )
    dsn = stack.credentials(role)["admin_dsn"]
    with psycopg.connect(dsn, connect_timeout=int(_PATIENCE_S)) as link:
        row = link.execute(query).fetchone()
    said = str(row[0]) if row and row[0] else ""
    return "" if _comment(token) in said.split() else "the database's comment lacks the token"


def _objectstore(stack: Stack, role: str, token: str) -> str:
    given = stack.credentials(role)
    if not given.get("bucket"):
        return f"roles.{role} names no bucket"
    client = bucket_client(stack)
    try:
        answer = client.get_object(given["bucket"], OBJECT)
    except minio.S3Error as error:
        return f"{error.code} for {given['bucket']}/{OBJECT}"
    try:
        said = answer.read(128).decode("utf-8", "replace").strip()
    finally:
        answer.close()
    return "" if said == token else f"{OBJECT} holds another token"


def bucket_client(stack: Stack, *, anonymous: bool = False) -> minio.Minio:
    """A client of the target's object store with little patience, and with its keys or without.

    Raises:
        ValueError: its address is none.
    """
    endpoint = stack.endpoint("objectstore")
    given = {} if anonymous else stack.credentials("objectstore")
    return minio.Minio(
        quote(endpoint.url.partition("//")[2], safe=":/"),
        given.get("access_key"),
        given.get("secret_key"),
        secure=endpoint.url.startswith("https:"),
        http_client=PoolManager(timeout=Timeout(_PATIENCE_S), retries=Retry(0)),
    )


def _web(stack: Stack, role: str, token: str) -> str:
    url = stack.endpoint(role).url + WELL_KNOWN
    answer = httpx.get(url, timeout=_PATIENCE_S, trust_env=False)
    if answer.status_code != 200:
        return f"{answer.status_code} for {WELL_KNOWN}"
    return "" if answer.text.strip() == token else f"{WELL_KNOWN} holds another token"


STORES: dict[str, Callable[[Stack, str, str], str]] = {
    "vectordb": _vectordb,
    "metadata": _metadata,
    "objectstore": _objectstore,
}
