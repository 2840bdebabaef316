"""isolation/query past the front door: smuggled requests, the gateway asked directly, and inner
services that a customer talks to with its own token."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from fixtures.canaries import Canaries, require_no_leak
from fixtures.hostile import Hostile, expect_nothing_foreign
from fixtures.siege import Siege
from harness import conformance, needs
from harness.checks.markers import Leak, excerpt
from harness.checks.probes import Aim
from harness.checks.probes_paths import READ_PROBES
from harness.checks.probes_query import QUERY_PROBES
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import Endpoint, Stack

QUIET_S = 0.5
"""A raw connection on which nothing more came for so long has said all it will."""
INSIDE = "rag_gateway_requests_total"
"""Stands in what only monitoring may fetch: a smuggled request brought it out."""


def _request(aim: Aim, token: str, *headers: str, body: str = "", method: str = "POST") -> str:
    lines = [f"{method} /v1/query HTTP/1.1", "Host: edge", f"Authorization: Bearer {token}"]
    return "\r\n".join([*lines, *headers, "", ""]) + body


def _hidden(aim: Aim, token: str) -> str:
    """The request inside: what only monitoring may fetch, left open for the next one's headers."""
    return f"GET /metrics HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\nX-Rest: "


def _chunked(inside: str) -> str:
    return f"0\r\n\r\n{inside}"


SMUGGLED: dict[str, Callable[[Aim, str], str]] = {
    "length and chunks": lambda a, t: _request(
        a,
        t,
        f"Content-Length: {len(_chunked(_hidden(a, t)))}",
        "Transfer-Encoding: chunked",
        body=_chunked(_hidden(a, t)),
    ),
    "chunks and a short length": lambda a, t: _request(
        a,
        t,
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        body=f"{len(_hidden(a, t)):x}\r\n{_hidden(a, t)}\r\n0\r\n\r\n",
    ),
    "two lengths": lambda a, t: _request(
        a,
        t,
        "Content-Length: 2",
        f"Content-Length: {2 + len(_hidden(a, t))}",
        body="{}" + _hidden(a, t),
    ),
    "a length with a sign": lambda a, t: _request(
        a, t, "Content-Length: +2", body="{}" + _hidden(a, t)
    ),
    "an unknown coding": lambda a, t: _request(
        a, t, "Transfer-Encoding: xchunked", "Content-Length: 5", body=_chunked(_hidden(a, t))
    ),
    "a coding behind a blank": lambda a, t: _request(
        a, t, "Transfer-Encoding : chunked", "Content-Length: 5", body=_chunked(_hidden(a, t))
    ),
    "a coding behind a tab": lambda a, t: _request(
        a, t, "Transfer-Encoding:\tchunked", "Content-Length: 5", body=_chunked(_hidden(a, t))
    ),
    "two codings": lambda a, t: _request(
        a,
        t,
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        body=_chunked(_hidden(a, t)),
    ),
    "a folded header": lambda a, t: _request(
        a,
        t,
        "X-Fold: a\r\n Transfer-Encoding: chunked",
        "Content-Length: 2",
        body="{}" + _hidden(a, t),
    ),
    "a body without a length": lambda a, t: _request(a, t, body=_hidden(a, t), method="GET"),
    "bare line feeds": lambda a, t: _request(
        a, t, f"X-A: b\nContent-Length: 0\n\n{_hidden(a, t)}", "Content-Length: 2", body="{}"
    ),
    "a carriage return in a header": lambda a, t: _request(
        a, t, f"X-A: b\rX-Tenant-Id: {a.other_tenant}", "Content-Length: 2", body="{}"
    ),
    "NUL in a header": lambda a, t: _request(
        a, t, f"X-A: b\x00X-Tenant-Id: {a.other_tenant}", "Content-Length: 2", body="{}"
    ),
    "an address in the request line": lambda a, t: (
        f"GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {t}\r\n\r\n"
    ),
    "two hosts": lambda a, t: _request(a, t, "Host: gateway", "Content-Length: 2", body="{}"),
    "two tokens": lambda a, t: (
        f"GET /v1/documents/{a.document_id} HTTP/1.1\r\nHost: edge\r\n"
        f"Authorization: Bearer {t}\r\nAuthorization: Bearer service_role\r\n\r\n"
    ),
    "a switch of protocol": lambda a, t: (
        f"GET /metrics HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {t}\r\n"
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    ),
    "a token as a hop's header": lambda a, t: (
        f"GET /v1/documents/{a.document_id} HTTP/1.1\r\nHost: edge\r\n"
        f"Authorization: Bearer {t}\r\nConnection: close, Authorization\r\n\r\n"
    ),
    "no version": lambda a, t: "GET /metrics\r\n\r\n",
    "a path with a line end": lambda a, t: (
        "GET /healthz%0d%0aHost:%20gateway%0d%0a%0d%0aGET%20/metrics HTTP/1.1\r\nHost: edge\r\n\r\n"
    ),
}


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_smuggled_requests_reach_nothing(
    canaries: Canaries, siege: Siege, stack: Stack, evidence: Evidence
) -> None:
    """A request that the edge and the gateway could take apart differently MUST bring out nothing
    of another namespace or of the inside, and mix up nobody else's answers meanwhile."""
    edge = stack.endpoint("edge")
    aim = canaries.aims()[0]
    token = canaries.tokens[aim.tenant, aim.persona]

    def send(name: str) -> tuple[str, str]:
        return name, _raw(edge, SMUGGLED[name](aim, token))

    with siege.during(evidence, "while requests are smuggled"), ThreadPoolExecutor(4) as pool:
        # Twice, so that what one of them left on a connection meets the next.
        told = list(pool.map(send, [*SMUGGLED, *SMUGGLED]))
    spoke = sum(bool(text) for _, text in told)
    evidence.require(
        "the edge said something to most of them, so there was something to look at",
        spoke > len(told) // 2,
        expected=f"more than {len(told) // 2} of {len(told)}",
        actual=spoke,
    )
    finder = canaries.finder(aim.tenant, aim.persona)
    found = [
        Leak(
            probe=name,
            asker=aim.asker,
            request=repr(SMUGGLED[name](aim, "$TOKEN"))[:900],
            where="the raw connection",
            found=excerpt(text, marker.word),
            whose=marker.whose,
            marker=marker.word,
        )
        for name, text in told
        for marker in finder.find(text)
        if marker.word not in SMUGGLED[name](aim, token)
    ]
    require_no_leak(evidence, f"{len(told)} smuggled requests bring out nothing foreign", found)
    inside = sorted({name for name, text in told if INSIDE in text})
    evidence.require(
        "none of them reaches what is meant for monitoring alone",
        not inside,
        expected="no metrics on any of the connections",
        actual=inside or "none",
    )
    siege.expect_recovery(evidence, "after the smuggling")


def _raw(endpoint: Endpoint, text: str) -> str:
    """All that comes back for these bytes, until the connection ends or falls quiet."""
    came = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((endpoint.host, endpoint.port), timeout=5) as connection,
    ):
        connection.sendall(text.encode("latin-1"))
        connection.settimeout(QUIET_S)
        while piece := connection.recv(65536):
            came += piece
    return came.decode(errors="replace")


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["gateway", "edge", "auth"], features=["native-api"])
def test_past_the_edge_the_token_still_rules(
    canaries: Canaries, stack: Stack, evidence: Evidence
) -> None:
    """Who reaches the gateway without the edge, whose clean-up of headers and paths is missing
    then, MUST get no more than the token gives."""
    direct = Hostile(canaries, stack.endpoint("gateway"))
    probes = [*QUERY_PROBES.values(), *READ_PROBES.values()]
    # What is inside answers to who is inside, the metrics for instance; what it says is looked at.
    asked = [probe for probe in probes if probe.group != "inner"]
    try:
        salvo = direct.fire(asked, canaries.aims()[:2])
        inner = direct.fire([p for p in probes if p.group == "inner"], canaries.aims()[:1])
    finally:
        direct.close()
    expect_nothing_foreign(evidence, salvo, "the gateway without the edge")
    require_no_leak(evidence, "inner pages of the gateway name nothing foreign", inner.leaks)


CALLS: dict[str, tuple[tuple[str, str, object], ...]] = {
    "vectordb": (
        ("GET", "/collections", None),
        ("GET", "/telemetry", None),
        ("POST", "/collections/rag-chunks/points/scroll", {"limit": 100, "with_payload": True}),
        ("POST", "/collections/rag-chunks/points/count", {"exact": True}),
        ("POST", "/collections/rag-chunks/points", {"ids": ["{point}"], "with_payload": True}),
        ("GET", "/collections/rag-chunks-wordllama-256/points/{point}", None),
        ("GET", "/collections/rag-chunks/snapshots", None),
        ("POST", "/collections/rag-chunks/points/delete", {"points": ["{point}"]}),
    ),
    "embed": (("POST", "/v1/embeddings", {"input": "x", "model": "wordllama-256"}),),
    "rerank": (("POST", "/rerank", {"query": "x", "texts": ["a", "b"]}),),
    "auth": (("GET", "/admin/users", None), ("GET", "/admin/users?page=1&per_page=100", None)),
    "objectstore": (("GET", "/rag-backups/?list-type=2", None),),
}


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"])
@pytest.mark.parametrize("role", [*CALLS, "metadata"])
def test_inner_services_give_a_customer_nothing(
    role: str, canaries: Canaries, stack: Stack, evidence: Evidence
) -> None:
    """An inner service that a customer reaches around the gateway MUST refuse the customer's own
    token, wherever it is put, and name no content."""
    if role not in stack.roles():
        raise NotAllowed(f"The target {stack.name!r} has no {role}.", actual=stack.roles())
    aim = canaries.aims()[0]
    token = canaries.tokens[aim.tenant, aim.persona]
    if role == "metadata":
        answers = _log_ins(stack, token)
    else:
        base = stack.endpoint(role).url
        with httpx.Client(base_url=base, timeout=10, trust_env=False) as client:
            answers = [
                answer
                for method, path, body in CALLS[role]
                for answer in _called(client, method, path, body, token, aim)
            ]
    found = [
        Leak(
            probe=f"{role}, asked directly",
            asker=aim.asker,
            request=asked,
            where=str(status),
            found=excerpt(text, marker.word),
            whose=marker.whose,
            marker=marker.word,
        )
        for asked, status, text in answers
        for marker in canaries.everything().find(text)
    ]
    require_no_leak(evidence, f"{role}: {len(answers)} answers hold no content", found)
    opened = [f"{asked}: {status}" for asked, status, _ in answers if not 400 <= status < 500]
    evidence.require(
        f"{role}: each of {len(answers)} calls is refused",
        bool(answers) and not opened,
        expected="a client error for each",
        actual=opened[:6] or "refused",
    )


def _called(
    client: httpx.Client, method: str, path: str, body: object, token: str, aim: Aim
) -> list[tuple[str, int, str]]:
    path = path.replace("{point}", aim.point_id)
    if isinstance(body, dict):
        body = {
            key: [aim.point_id] if value == ["{point}"] else value for key, value in body.items()
        }
    mark = "&" if "?" in path else "?"
    ways: dict[str, tuple[dict[str, str], str]] = {
        "as bearer": ({"Authorization": f"Bearer {token}"}, path),
        "as api-key": ({"api-key": token, "apikey": token, "x-api-key": token}, path),
        "in the address": ({}, f"{path}{mark}api-key={token}&apikey={token}"),
        "with claims": ({"X-Jwt-Claims": '{"role":"service_role"}', "Role": "service_role"}, path),
    }
    found = []
    for how, (headers, target) in ways.items():
        answer = client.request(method, target, headers=headers, json=body)
        found.append((f"{method} {path} {how}", answer.status_code, answer.text))
    return found


def _log_ins(stack: Stack, token: str) -> list[tuple[str, int, str]]:
    endpoint = stack.endpoint("metadata")
    found = []
    for user in ("authenticated", "anon", "service_role", "rag_gateway", "rag_auth"):
        asked, told, status = f"log in as {user} with the token", "", 401
        try:
            with psycopg.connect(
                host=endpoint.host,
                port=endpoint.port,
                user=user,
                password=token,
                dbname="rag",
                connect_timeout=5,
            ) as connection:
                told = str(connection.execute("SELECT * FROM public.documents").fetchall())
                status = 200
        except psycopg.OperationalError as error:
            told = str(error)
        found.append((asked, status, told))
    return found
