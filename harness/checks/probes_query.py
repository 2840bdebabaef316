"""Probes of the query endpoint: bodies, filters, personas, sizes, headers and query strings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from harness.checks.probes import Aim, Probe, Request, by_name, with_headers

Changes = Callable[[Aim], dict[str, Any]]

_BODIES: dict[str, Changes] = {
    "tenant in the body": lambda a: {"tenant_id": a.other_tenant},
    "tenant in app_metadata of the body": lambda a: {"app_metadata": {"tenant_id": a.other_tenant}},
    "claims in the body": lambda a: {
        "claims": {"role": "service_role", "app_metadata": {"tenant_id": a.other_tenant}}
    },
    "token in the body": lambda a: {"token": "service_role", "role": "service_role"},
    "collection in the body": lambda a: {"collection": "rag-chunks", "alias": "rag-chunks"},
    "vector options in the body": lambda a: {"with_payload": True, "with_vector": True},
    "prefetch in the body": lambda a: {"prefetch": [{"filter": {}, "limit": 50}]},
    "lookup of another collection": lambda a: {"lookup_from": {"collection": "rag-chunks"}},
    "recommend a foreign point": lambda a: {"positive": [a.point_id], "using": ""},
    "groups by tenant": lambda a: {"group_by": "tenant_id", "group_size": 10},
    "facet over tenants": lambda a: {"facet": "tenant_id", "exact": True},
    "offset in the body": lambda a: {"offset": 1},
    "negative score threshold": lambda a: {"score_threshold": -2},
}

_FILTERS: dict[str, Changes] = {
    "tenant as filter": lambda a: {"tenant_id": a.other_tenant},
    "tenant as nested filter": lambda a: {
        "should": [{"key": "tenant_id", "match": {"value": a.other_tenant}}]
    },
    "negated tenant as filter": lambda a: {
        "must_not": [{"key": "tenant_id", "match": {"value": a.tenant}}]
    },
    "tenant under must": lambda a: {
        "must": [{"key": "tenant_id", "match": {"any": [a.tenant, a.other_tenant]}}]
    },
    "tenant under min_should": lambda a: {
        "min_should": {"conditions": [{"is_empty": {"key": "nothing"}}], "min_count": 0}
    },
    "a filter inside a filter": lambda a: {"filter": {"should": [{"has_id": [a.point_id]}]}},
    "ids of foreign points as filter": lambda a: {"has_id": [a.point_id]},
    "foreign document id as filter": lambda a: {"document_id": a.document_id},
    "foreign chunk id as filter": lambda a: {"chunk_id": a.chunk_id},
    "persona as filter": lambda a: {"persona": a.barred},
    "filter that leaves its prefix": lambda a: {"../tenant_id": a.other_tenant},
    "filter key with a dot": lambda a: {"meta.tenant_id": a.other_tenant},
    "filter key with brackets": lambda a: {"a[].tenant_id": a.other_tenant},
    "filter key with a quote": lambda a: {'"tenant_id': a.other_tenant},
    "filter key of a prototype": lambda a: {"__proto__": a.other_tenant},
    "filter value as a list": lambda a: {"keeper": [a.keeper]},
    "filter value as a condition": lambda a: {"keeper": {"any": [a.keeper]}},
    "filter value as null": lambda a: {"keeper": None},
    "filter with a negation": lambda a: {"keeper": {"$ne": "nobody"}},
    "filter with SQL": lambda a: {"keeper": "' OR tenant_id <> '"},
    "filter with SQL JSON": lambda a: {"keeper": '"} || tenant_id || {"'},
    "foreign marker as metadata filter": lambda a: {"keeper": a.keeper},
    "empty filter": lambda a: {},
}

_PERSONAS: dict[str, Callable[[Aim], Any]] = {
    "the other persona": lambda a: a.barred,
    "list of personas": lambda a: [a.persona, a.barred],
    "object as persona": lambda a: {"any": [a.persona, a.barred]},
    "number as persona": lambda a: 0,
    "no persona": lambda a: None,
    "empty persona": lambda a: "",
    "wildcard persona": lambda a: "*",
    "SQL wildcard persona": lambda a: "%",
    "personas with a comma": lambda a: f"{a.persona},{a.barred}",
    "persona in another case": lambda a: a.barred.upper(),
    "persona in full width": lambda a: "".join(chr(ord(c) + 0xFEE0) for c in a.barred),
    "persona with a Cyrillic letter": lambda a: _cyrillic(a.barred),
    "persona with a combining mark": lambda a: a.barred + "\u0301",
    "persona with a zero-width space": lambda a: a.barred + "\u200b",
    "persona with a blank": lambda a: f"{a.barred} ",
    "persona with NUL": lambda a: f"{a.persona}\x00{a.barred}",
    "persona with a line feed": lambda a: f"{a.persona}\n{a.barred}",
    "persona of the other tenant as a path": lambda a: f"../{a.other_tenant}/{a.barred}",
    "persona qualified by the other tenant": lambda a: f"{a.other_tenant}:{a.barred}",
    "persona percent-encoded": lambda a: quote(a.barred[0]) + "%6Frk",
}

_SIZES: dict[str, Any] = {
    "largest top_k": 50,
    "top_k one beyond its limit": 51,
    "top_k beyond its limit": 100_000,
    "top_k beyond 64 bits": 2**64 + 5,
    "top_k zero": 0,
    "top_k negative": -1,
    "top_k as text": "50",
    "top_k as a fraction": 7.5,
    "top_k as an exponent": 1e3,
    "top_k null": None,
}

HEADERS: dict[str, Callable[[Aim], dict[str, str]]] = {
    "tenant in a header": lambda a: {"X-Tenant-Id": a.other_tenant},
    "tenant in a header with underscores": lambda a: {"X_Tenant_Id": a.other_tenant},
    "tenant in forwarding headers": lambda a: {
        "X-Forwarded-User": a.other_tenant,
        "X-User-Tenant": a.other_tenant,
        "X-Forwarded-For": "127.0.0.1",
        "Forwarded": "for=127.0.0.1;host=internal",
    },
    "tenant in headers of a mesh": lambda a: {
        "X-Consumer-Username": a.other_tenant,
        "X-Auth-Request-User": a.other_tenant,
        "X-Remote-User": a.other_tenant,
        "Impersonate-User": a.other_tenant,
    },
    "claims in a header": lambda a: {
        "X-Jwt-Claims": json.dumps({"app_metadata": {"tenant_id": a.other_tenant}})
    },
    "claims as PostgREST takes them": lambda a: {
        "Request.Jwt.Claims": json.dumps({"app_metadata": {"tenant_id": a.other_tenant}}),
        "Role": "service_role",
        "apikey": "service_role",
    },
    "persona in a header": lambda a: {"X-Persona": a.barred},
    "tenant in a cookie": lambda a: {"Cookie": f"tenant_id={a.other_tenant}; role=service_role"},
    "another host": lambda a: {"Host": f"{a.other_tenant}.example"},
    "an original URL in a header": lambda a: {
        "X-Original-URL": f"/v1/documents/{a.document_id}",
        "X-Rewrite-URL": f"/v1/documents/{a.document_id}",
    },
    "another method in a header": lambda a: {"X-HTTP-Method-Override": "DELETE"},
    "the canary's space": lambda a: {"X-Embed-Canary": "1"},
    "a conditional request": lambda a: {"If-None-Match": "*", "Cache-Control": "only-if-cached"},
    "the SHA-256 of the victim's text": lambda a: {"If-None-Match": _tag(a, "sha256")},
    "the MD5 of the victim's text": lambda a: {"If-None-Match": _tag(a, "md5")},
    "the SHA-256 of the victim's text to match": lambda a: {"If-Match": _tag(a, "sha256")},
    "a date to be newer than": lambda a: {"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"},
    "the key of the victim's request": lambda a: {
        "Idempotency-Key": a.trace_id,
        "X-Idempotency-Key": a.trace_id,
    },
    "a part of the answer": lambda a: {"Range": "bytes=0-100000"},
    "the victim's trace id": lambda a: {"X-Request-Id": a.trace_id},
    "the victim's trace id of the open standard": lambda a: {
        "traceparent": f"00-{a.trace_id:0>32.32}-{'1' * 16}-01",
        "X-Trace-Id": a.trace_id,
        "X-Correlation-Id": a.trace_id,
    },
}

_STRINGS: dict[str, Callable[[Aim], str]] = {
    "tenant in the query string": lambda a: f"tenant_id={a.other_tenant}",
    "persona in the query string": lambda a: f"persona={a.barred}",
    "token in the query string": lambda a: "access_token=service_role&apikey=service_role",
    "collection in the query string": lambda a: "collection=rag-chunks&consistency=all",
    "filter in the query string": lambda a: f"filter[tenant_id]={a.other_tenant}",
}


def _tag(aim: Aim, algorithm: str) -> str:
    # What a service that makes entity tags of content makes of the victim's.
    return f'"{hashlib.new(algorithm, aim.exact.encode()).hexdigest()}"'


def _cyrillic(name: str) -> str:
    # о, е, а, р are drawn like the Latin letters, and are others.
    return name.translate(str.maketrans("oeap", "\u043e\u0435\u0430\u0440"))


def _raw(body: Callable[[Aim], bytes], kind: str = "application/json") -> Callable[[Aim], Request]:
    return lambda a: Request("POST", "/v1/query", (("Content-Type", kind),), content=body(a))


def _twice(aim: Aim) -> bytes:
    base = json.dumps({"query": aim.text, "top_k": 10})[:-1]
    return f'{base}, "persona": "{aim.persona}", "persona": "{aim.barred}"}}'.encode()


_RAW: tuple[Probe, ...] = (
    Probe(
        "persona left out",
        "body",
        _raw(lambda a: json.dumps({"query": a.text, "top_k": 50}).encode()),
        refused=True,
    ),
    Probe(
        "filter given twice",
        "body",
        _raw(
            lambda a: (
                (a.query(filter={}).body or b"")[:-1]
                + f', "filter": {{"keeper": "{a.keeper}"}}}}'.encode()
            )
        ),
    ),
    Probe("persona given twice", "body", _raw(_twice)),
    Probe(
        "two bodies behind each other",
        "body",
        _raw(lambda a: (a.query().body or b"") + (a.query(persona=a.barred).body or b"")),
        refused=True,
    ),
    Probe(
        "body in UTF-16",
        "body",
        _raw(lambda a: json.dumps(a.query().json).encode("utf-16")),
    ),
    Probe(
        "body as a form",
        "body",
        _raw(
            lambda a: f"query=x&persona={a.barred}&tenant_id={a.other_tenant}".encode(),
            "application/x-www-form-urlencoded",
        ),
        refused=True,
    ),
    Probe("body as a list", "body", _raw(lambda a: json.dumps([a.query().json]).encode())),
)


def _body(changes: Changes) -> Callable[[Aim], Request]:
    return lambda aim: aim.query(**changes(aim))


def _filter(condition: Changes) -> Callable[[Aim], Request]:
    return lambda aim: aim.query(filter=condition(aim))


def _persona(choose: Callable[[Aim], Any]) -> Callable[[Aim], Request]:
    return lambda aim: aim.query(persona=choose(aim))


def _size(top_k: Any) -> Callable[[Aim], Request]:
    return lambda aim: aim.query(top_k=top_k)


def _header(headers: Callable[[Aim], dict[str, str]]) -> Callable[[Aim], Request]:
    return lambda aim: with_headers(aim.query(), headers(aim))


def _string(string: Callable[[Aim], str]) -> Callable[[Aim], Request]:
    return lambda aim: Request(
        "POST", f"/v1/query?{quote(string(aim), safe='=&')}", json=aim.query().json
    )


QUERY_PROBES: dict[str, Probe] = by_name(
    (
        Probe("the plain query", "plain", lambda aim: aim.query(top_k=50)),
        Probe("the plain query unranked", "plain", lambda aim: aim.query(top_k=50, rerank=False)),
        *(Probe(name, "body", _body(changes)) for name, changes in _BODIES.items()),
        *(Probe(name, "filter", _filter(condition)) for name, condition in _FILTERS.items()),
        *(Probe(name, "persona", _persona(one), refused=True) for name, one in _PERSONAS.items()),
        *(Probe(name, "size", _size(top_k)) for name, top_k in _SIZES.items()),
        *(Probe(name, "header", _header(headers)) for name, headers in HEADERS.items()),
        *(Probe(name, "query string", _string(string)) for name, string in _STRINGS.items()),
        *_RAW,
    )
)
"""Probes of ``POST /v1/query`` by name."""
