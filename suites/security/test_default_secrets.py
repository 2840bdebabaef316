"""security/no-default-secret: no component answers without its credential, or to a default one."""

from __future__ import annotations

import socket
from collections.abc import Callable

import httpx
import minio
import psutil
import psycopg
import pytest
from minio.error import S3Error

from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import Stack

DEFAULT_PASSWORDS = ("", "postgres", "password", "admin", "supabase", "changeme", "secret")
DEFAULT_S3 = (("minioadmin", "minioadmin"), ("minio", "minio123"), ("admin", "admin"), ("", ""))
DEFAULT_KEYS = ("", "changeme", "secret", "test", "admin", "api-key", "sk-", "supersecret")


def _status(method: str, url: str, headers: dict[str, str], json: object = None) -> int:
    """Return the status of one request, 0 when there was no answer."""
    try:
        return httpx.request(
            method, url, headers=headers, json=json, timeout=5, trust_env=False
        ).status_code
    except httpx.HTTPError:
        return 0


def _refused_http(
    evidence: Evidence,
    what: str,
    method: str,
    url: str,
    header: Callable[[str], dict[str, str]],
    *,
    good: str,
    json: object = None,
) -> None:
    """Expect 401 or 403 with no key and with each default key, and an answer with the real one."""
    works = _status(method, url, header(good), json)
    evidence.require(
        f"{what} works with its own credential, so a refusal means the credential",
        200 <= works < 300,
        expected="2xx",
        actual=works,
    )
    seen = {"no credential": _status(method, url, {}, json)}
    for key in DEFAULT_KEYS:
        if key != good:
            seen[repr(key)] = _status(method, url, header(key), json)
    evidence.require(
        f"{what} refuses {len(seen)} missing or default credentials",
        all(status in (401, 403) for status in seen.values()),
        expected="401 or 403 for each",
        actual=seen,
    )


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}".rstrip()}


def _api_key(key: str) -> dict[str, str]:
    return {"api-key": key}


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["vectordb"])
@pytest.mark.parametrize("path", ["/collections", "/metrics", "/telemetry"])
def test_vector_store_needs_its_key(path: str, stack: Stack, evidence: Evidence) -> None:
    """The vector store MUST refuse requests without its API key or with a default one."""
    _refused_http(
        evidence,
        f"vector store {path}",
        "GET",
        stack.endpoint("vectordb").url + path,
        _api_key,
        good=stack.credentials("vectordb")["api_key"],
    )


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["embed", "rerank"])
@pytest.mark.parametrize("role", ["embed", "rerank"])
def test_workers_need_their_key(role: str, stack: Stack, evidence: Evidence) -> None:
    """The embedding and rerank workers MUST refuse requests without their key or with a default
    one."""
    base = stack.endpoint(role).url
    if role == "embed":
        models = httpx.get(
            f"{base}/v1/models",
            headers=_bearer(stack.credentials(role)["api_key"]),
            timeout=5,
            trust_env=False,
        ).json()
        url, body = f"{base}/v1/embeddings", {"input": "x", "model": models["data"][0]["id"]}
    else:
        url, body = f"{base}/rerank", {"query": "x", "texts": ["y", "z"]}
    _refused_http(
        evidence,
        f"{role} worker",
        "POST",
        url,
        _bearer,
        good=stack.credentials(role)["api_key"],
        json=body,
    )


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["auth"])
def test_user_management_needs_the_service_key(stack: Stack, evidence: Evidence) -> None:
    """User management MUST refuse requests without the service key or with a default one."""
    _refused_http(
        evidence,
        "user management",
        "GET",
        stack.endpoint("auth").url + "/admin/users",
        _bearer,
        good=stack.credentials("auth")["service_key"],
    )


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["metadata"])
def test_metadata_store_needs_a_password(stack: Stack, evidence: Evidence) -> None:
    """The metadata store MUST refuse log-ins without a password or with a default one, over TCP."""
    endpoint = stack.endpoint("metadata")
    good = stack.credentials("metadata")["admin_dsn"]
    with psycopg.connect(good, connect_timeout=5) as connection:
        users = [
            str(row[0])
            for row in connection.execute("select rolname from pg_roles where rolcanlogin")
        ]
    evidence.require(
        "the store has log-in roles to try", len(users) >= 1, expected="one or more", actual=users
    )
    opened = []
    for user in {*users, "postgres", "supabase_admin"}:
        for password in (*DEFAULT_PASSWORDS, user):
            try:
                psycopg.connect(
                    host=endpoint.host,
                    port=endpoint.port,
                    user=user,
                    password=password,
                    dbname="postgres",
                    connect_timeout=5,
                    sslmode="prefer",
                ).close()
                opened.append(f"{user} with {password!r}")
            except psycopg.OperationalError as error:
                told = str(error)
                if not any(each in told for each in ("password", "authentication", "not exist")):
                    raise
    evidence.require(
        f"no log-in role opens to any of {len(DEFAULT_PASSWORDS) + 1} passwords",
        not opened,
        expected="every log-in refused",
        actual=opened or "every log-in refused",
    )


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["objectstore"])
def test_object_store_needs_its_keys(
    stack: Stack, objectstore: minio.Minio, evidence: Evidence
) -> None:
    """The object store MUST refuse listing and reading without keys or with default ones."""
    bucket = stack.credentials("objectstore")["bucket"]
    evidence.require(
        "the backup bucket is there for its own keys",
        objectstore.bucket_exists(bucket),
        expected=bucket,
        actual="there" if objectstore.bucket_exists(bucket) else "absent",
    )
    endpoint = stack.endpoint("objectstore")
    opened = []
    for access, secret in DEFAULT_S3:
        client = minio.Minio(
            f"{endpoint.host}:{endpoint.port}",
            access_key=access or None,
            secret_key=secret or None,
            secure=False,
            region="us-east-1",
        )
        try:
            list(client.list_objects(bucket))
            opened.append(f"{access or 'anonymous'}")
        except S3Error as error:
            if error.code not in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
                raise
    evidence.require(
        f"the bucket opens to none of {len(DEFAULT_S3)} default or missing keys",
        not opened,
        expected="access denied for each",
        actual=opened or "access denied for each",
    )


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["edge"], features=["native-api"])
def test_gateway_needs_a_token(stack: Stack, evidence: Evidence) -> None:
    """The gateway MUST refuse every data endpoint without a token or with a default key."""
    base = stack.endpoint("edge").url
    attempts = {
        "query": ("POST", "/v1/query", {"query": "x", "persona": "work"}),
        "write": ("POST", "/v1/documents", {"persona": "work", "text": "x"}),
        "batch": ("POST", "/v1/documents/batch", {"documents": []}),
        "list": ("GET", "/v1/documents", None),
        "read": ("GET", "/v1/documents/x", None),
        "delete": ("DELETE", "/v1/documents/x", None),
    }
    seen = {
        f"{name}, {key!r}": _status(method, base + path, _bearer(key) if key else {}, body)
        for name, (method, path, body) in attempts.items()
        for key in DEFAULT_KEYS
    }
    evidence.require(
        f"each of {len(seen)} attempts is refused",
        all(status == 401 for status in seen.values()),
        expected="401 for each",
        actual={name: status for name, status in seen.items() if status != 401} or "401 for each",
    )


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["auth"])
def test_published_keys_hold_no_secret(stack: Stack, evidence: Evidence) -> None:
    """The published signing keys MUST hold public parts only: no symmetric key, no private part."""
    url = stack.endpoint("auth").url + "/.well-known/jwks.json"
    keys = httpx.get(url, timeout=5, trust_env=False).json()["keys"]
    evidence.require("there is a published key", len(keys) >= 1, actual=len(keys))
    private = [
        key.get("kid")
        for key in keys
        if key.get("kty") == "oct" or {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)
    ]
    evidence.require(
        f"{len(keys)} published keys are public",
        not private,
        expected="no kty oct, no private member",
        actual=private or "none",
    )


@conformance("security/no-default-secret", since="0.1")
@needs("read", roles=["metadata"])
def test_nothing_listens_beyond_this_host(stack: Stack, evidence: Evidence) -> None:
    """What has no log-in of its own, such as monitoring, MUST NOT be reachable from another host,
    and neither is anything else but the edge meant to be."""
    elsewhere = [role for role in stack.roles() if stack.endpoint(role).host != "127.0.0.1"]
    if elsewhere:
        raise NotAllowed(
            "What listens where can be seen only of a target on this host.",
            expected="127.0.0.1 for each role",
            actual=", ".join(elsewhere),
        )
    # A socket bound to 127.0.0.1 alone refuses 127.0.0.2, one bound to every address takes it: so
    # there is something to try even on a host without a network.
    outside = ["127.0.0.2"]
    for addresses in psutil.net_if_addrs().values():
        outside += [
            each.address
            for each in addresses
            if each.family == socket.AF_INET and not each.address.startswith("127.")
        ]
    seen = {}
    for role in stack.roles():
        endpoint = stack.endpoint(role)
        evidence.require(
            f"{role} answers on this host",
            _opens(endpoint.host, endpoint.port),
            actual=f"{endpoint.host}:{endpoint.port}",
        )
        reached = [address for address in outside if _opens(address, endpoint.port)]
        if role != "edge" and reached:
            seen[role] = reached
    evidence.require(
        f"no role of {len(stack.roles())} opens on any of {len(outside)} outside addresses",
        not seen,
        expected="connections refused everywhere but on the loopback interface",
        actual=seen or "refused everywhere",
    )


def _opens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False
