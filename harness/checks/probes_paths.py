"""Probes of everything but the query: reading, listing, deleting, paths past the API, writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from harness.checks.probes import Aim, Probe, Request, by_name, with_headers
from harness.checks.probes_query import HEADERS
from harness.checks.probes_unpublished import UNPUBLISHED_READS, UNPUBLISHED_WRITES

Target = Callable[[Aim], str]

_READS: dict[str, Target] = {
    "a foreign id": lambda a: a.document_id,
    "a foreign id in capitals": lambda a: a.document_id.upper(),
    "a foreign id in full width": lambda a: quote(
        "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in a.document_id)
    ),
    "a foreign id, percent-encoded": lambda a: "".join(f"%{ord(c):02x}" for c in a.document_id),
    "a foreign id, encoded twice": lambda a: a.document_id.replace("-", "%252d"),
    "a foreign id behind the tenant": lambda a: f"{a.other_tenant}/{a.document_id}",
    "a foreign id qualified by the tenant": lambda a: f"{a.other_tenant}:{a.document_id}",
    "a foreign id behind backslashes": lambda a: f"{a.own_id}%5c..%5c{a.document_id}",
    "two ids with a comma": lambda a: f"{a.own_id},{a.document_id}",
    "a foreign id with a slash": lambda a: f"{a.document_id}/",
    "a foreign id with an extension": lambda a: f"{a.document_id}.json",
    "a foreign id with NUL": lambda a: f"{a.document_id}%00",
    "a foreign id with a blank": lambda a: f"{a.document_id}%20",
    "a foreign id with a matrix parameter": lambda a: f"{a.document_id};tenant={a.other_tenant}",
    "a foreign id with the tenant behind": lambda a: (
        f"{a.document_id}?tenant_id={a.other_tenant}&persona={a.other_persona}"
    ),
    "the chunks of a foreign id": lambda a: f"{a.document_id}/chunks",
    "a foreign chunk id": lambda a: quote(a.chunk_id, safe=""),
    "a foreign point id": lambda a: a.point_id,
    "a wildcard id": lambda a: "*",
    "a prefix of a foreign id": lambda a: a.document_id[:-1],
    "a SQL wildcard id": lambda a: "%25",
    "SQL as an id": lambda a: quote("' OR tenant_id <> '"),
    "SQL that ends the statement": lambda a: quote("x'; SELECT * FROM documents; --"),
}

_DETOURS: dict[str, Target] = {
    "a foreign id behind an own one": lambda a: f"{a.own_id}/../{a.document_id}",
    "a foreign id behind an encoded tenant": lambda a: f"{a.other_tenant}%2F{a.document_id}",
    "a foreign id behind encoded dots": lambda a: f"{a.own_id}%2f%2e%2e%2f{a.document_id}",
}
"""What a path that is made straight on the way may turn into something of the asker's."""

_LISTS: dict[str, Target] = {
    "the list": lambda a: "",
    "the list of the other persona": lambda a: f"?persona={a.barred}",
    "the list of two personas": lambda a: f"?persona={a.persona}&persona={a.barred}",
    "the list of no persona": lambda a: "?persona=",
    "the list of the persona array": lambda a: f"?persona[]={a.barred}",
    "the list with a tenant": lambda a: f"?tenant_id={a.other_tenant}",
    "the list with an owner": lambda a: f"?owner={a.other_tenant}&user_id={a.other_tenant}",
    "the list from a foreign id": lambda a: f"?cursor={a.cursor(a.document_id)}",
    "the list from the victim's own cursor": lambda a: f"?cursor={a.other_cursor or 'none'}",
    "the list just before a foreign id": lambda a: f"?cursor={a.cursor(a.document_id[:-1])}",
    "the list from nothing": lambda a: f"?cursor={a.cursor(' ')}",
    "the list from a tenant and id": lambda a: (
        f"?cursor={a.cursor(f'{a.other_tenant}/{a.document_id}')}"
    ),
    "the list from a JSON cursor": lambda a: (
        "?cursor=" + a.cursor(f'{{"tenant_id":"{a.other_tenant}","after":""}}')
    ),
    "the list from a SQL cursor": lambda a: f"?cursor={a.cursor(chr(39) + ' OR 1=1 --')}",
    "the longest page": lambda a: "?limit=256",
    "a page beyond the longest": lambda a: "?limit=257",
    "a page of everything": lambda a: "?limit=1000000",
    "a page of nothing": lambda a: "?limit=0",
    "a negative page": lambda a: "?limit=-1",
    "an offset": lambda a: "?offset=1&page=2",
    "an order by tenant": lambda a: "?order=tenant_id.asc&select=*",
    "a PostgREST filter": lambda a: f"?tenant_id=eq.{a.other_tenant}&or=(persona.neq.x)",
}

_INNER: dict[str, Target] = {
    "the vector store's collections": lambda a: "/collections",
    "the vector store's collection by alias": lambda a: "/collections/rag-chunks",
    "a foreign point through the edge": lambda a: (
        f"/collections/rag-chunks-wordllama-256/points/{a.point_id}"
    ),
    "the vector store's aliases": lambda a: "/aliases",
    "the vector store's telemetry": lambda a: "/telemetry?details_level=6",
    "the metadata store through the edge": lambda a: "/rest/v1/documents?select=*",
    "the user list through the edge": lambda a: "/admin/users",
    "the edge's metrics": lambda a: "/metrics",
    "metrics with a slash": lambda a: "/metrics/",
    "metrics with two slashes": lambda a: "//metrics",
    "metrics percent-encoded": lambda a: "/%6detrics",
    "metrics behind dots": lambda a: "/v1/../metrics",
    "metrics behind encoded dots": lambda a: "/v1/%2e%2e/metrics",
    "metrics with a matrix parameter": lambda a: "/metrics;a=b",
    "the collections behind dots": lambda a: "/v1/documents/../../collections",
    "a path out of the root": lambda a: "/../../../../etc/passwd",
    "an encoded path out of the root": lambda a: "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "the nginx status": lambda a: "/nginx_status",
    "the health page": lambda a: "/healthz",
    "the readiness page": lambda a: "/readyz",
    "the schema": lambda a: "/openapi.json",
    "a collection as a version": lambda a: "/v1/collections/rag-chunks/points",
    "the other tenant as a path": lambda a: f"/{a.other_tenant}/v1/documents",
    "the other tenant under the version": lambda a: f"/v1/{a.other_tenant}/documents",
    "a bucket through the edge": lambda a: "/rag-backups/?list-type=2",
}

_PUBLIC = frozenset({"the health page", "the readiness page", "the schema"})

_METHODS = ("HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "SEARCH", "REPORT")

_POSTS: dict[str, tuple[str, Any]] = {
    "a scroll through the edge": (
        "/collections/rag-chunks/points/scroll",
        {"limit": 100, "with_payload": True},
    ),
    "a rerank through the edge": ("/rerank", {"query": "budget", "texts": ["a"]}),
    "an embedding through the edge": ("/v1/embeddings", {"input": "a", "model": "x"}),
    "an RPC of the metadata store": ("/rest/v1/rpc/due_cleanup", {"most": 100}),
}


def _get(under: str, target: Target, method: str = "GET") -> Callable[[Aim], Request]:
    return lambda aim: Request(method, under + target(aim))


def _post(path: str, body: Any) -> Callable[[Aim], Request]:
    return lambda aim: Request("POST", path, json=body)


def _headed(name: str) -> Callable[[Aim], Request]:
    return lambda aim: with_headers(
        Request("GET", f"/v1/documents/{aim.document_id}"), HEADERS[name](aim)
    )


READ_PROBES: dict[str, Probe] = by_name(
    (
        *(
            Probe(f"read {name}", "read", _get("/v1/documents/", target), refused=True)
            for name, target in _READS.items()
        ),
        *(
            Probe(f"read {name}", "read", _get("/v1/documents/", target))
            for name, target in _DETOURS.items()
        ),
        *(Probe(name, "list", _get("/v1/documents", target)) for name, target in _LISTS.items()),
        *(
            Probe(name, "inner", _get("", target), refused=name not in _PUBLIC)
            for name, target in _INNER.items()
        ),
        *(Probe(name, "inner", _post(*post), refused=True) for name, post in _POSTS.items()),
        *UNPUBLISHED_READS,
        *(
            Probe(
                f"{method} of a foreign id",
                "method",
                _get("/v1/documents/", lambda a: a.document_id, method),
                refused=True,
            )
            for method in _METHODS
        ),
        *(
            Probe(f"read with {name}", "header", _headed(name), refused=True)
            for name in HEADERS
            if name != "another method in a header"
        ),
    )
)
"""Probes that read by id, list, or look past the API, by name."""


def _written(changes: Callable[[Aim], dict[str, Any]]) -> Callable[[Aim], Request]:
    def make(aim: Aim) -> Request:
        body = {"persona": aim.persona, "text": "Written by the intruder."} | changes(aim)
        return Request("POST", "/v1/documents", json=body)

    return make


def _batched(changes: Callable[[Aim], dict[str, Any]]) -> Callable[[Aim], Request]:
    def make(aim: Aim) -> Request:
        plain = {"persona": aim.persona, "text": "Written by the intruder in a batch."}
        return Request("POST", "/v1/documents/batch", json={"documents": [plain | changes(aim)]})

    return make


def _together(aim: Aim, *documents: dict[str, Any]) -> Request:
    plain = {"persona": aim.persona, "text": "Written by the intruder, with others."}
    listed = [plain | each for each in documents]
    return Request("POST", "/v1/documents/batch", json={"documents": listed})


_WRITES: dict[str, Callable[[Aim], dict[str, Any]]] = {
    "under a foreign id": lambda a: {"document_id": a.document_id},
    "under a foreign chunk id": lambda a: {"document_id": a.chunk_id},
    "under a foreign point id": lambda a: {"document_id": a.point_id},
    "under an id that leaves its tenant": lambda a: {
        "document_id": f"../{a.other_tenant}/{a.document_id}"
    },
    "under an id with the tenant": lambda a: {"document_id": f"{a.other_tenant}:{a.document_id}"},
    "with a tenant": lambda a: {"tenant_id": a.other_tenant},
    "with an owner": lambda a: {"owner": a.other_tenant, "user_id": a.other_tenant},
    "with a tenant in its metadata": lambda a: {"metadata": {"tenant_id": a.other_tenant}},
    "with a persona in its metadata": lambda a: {"metadata": {"persona": a.barred}},
    "with a path in its metadata": lambda a: {"metadata": {"../tenant_id": a.other_tenant}},
    "with payload in its metadata": lambda a: {"metadata": {"meta.tenant_id": a.other_tenant}},
    "with a nested metadata value": lambda a: {"metadata": {"meta": {"tenant_id": a.other_tenant}}},
    "with chunks of its own": lambda a: {"chunks": [{"chunk_id": a.chunk_id, "text": "x"}]},
    "as the other persona": lambda a: {"persona": a.barred},
    "as the other persona under its id": lambda a: {
        "persona": a.barred,
        "document_id": a.document_id,
    },
    "the victim's own text": lambda a: {"text": a.exact},
    "the victim's own text under its id": lambda a: {
        "text": a.exact,
        "document_id": a.document_id,
    },
}

_BARRED = frozenset({"as the other persona", "as the other persona under its id"})

_DELETES = {name: target for name, target in _READS.items() if "two ids" not in name}

WRITE_PROBES: dict[str, Probe] = by_name(
    (
        *(
            Probe(f"write {name}", "write", _written(one), refused=name in _BARRED, writes=True)
            for name, one in _WRITES.items()
        ),
        *(
            Probe(f"batch {name}", "batch", _batched(one), refused=name in _BARRED, writes=True)
            for name, one in _WRITES.items()
        ),
        Probe(
            "batch as the other persona behind an own one",
            "batch",
            lambda a: _together(a, {"persona": a.persona}, {"persona": a.barred}),
            refused=True,
            writes=True,
        ),
        Probe(
            "batch under a foreign id behind an own one",
            "batch",
            lambda a: _together(a, {}, {"document_id": a.document_id}),
            writes=True,
        ),
        *UNPUBLISHED_WRITES,
        *(
            Probe(f"delete {name}", "delete", _get("/v1/documents/", target, "DELETE"))
            for name, target in _DELETES.items()
        ),
        Probe("delete everything", "delete", lambda a: Request("DELETE", "/v1/documents")),
        Probe(
            "delete by filter",
            "delete",
            lambda a: Request("DELETE", f"/v1/documents?tenant_id={a.other_tenant}"),
        ),
        Probe(
            "delete points through the edge",
            "delete",
            lambda a: Request(
                "POST",
                "/collections/rag-chunks/points/delete",
                json={"points": [a.point_id]},
            ),
            refused=True,
        ),
        *(
            Probe(
                f"write with {name}",
                "header",
                lambda a, name=name: with_headers(  # type: ignore[misc]
                    _written(lambda aim: {"document_id": aim.document_id})(a), HEADERS[name](a)
                ),
                writes=True,
            )
            for name in HEADERS
        ),
    )
)
"""Probes that write, replace or delete, by name."""
