"""Probes of what no schema names: pages for support, history, bulk, export and sharing that a
service may have beside its API, asked for about another namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from harness.checks.probes import Aim, Probe, Request

Target = Callable[[Aim], str]

_PAGES: dict[str, Target] = {
    "the victim's trace": lambda a: f"/v1/traces/{a.trace_id}",
    "the victim's trace by a parameter": lambda a: f"/v1/traces?trace_id={a.trace_id}",
    "the victim's request": lambda a: f"/v1/requests/{a.trace_id}",
    "the victim's question": lambda a: f"/v1/queries/{a.trace_id}",
    "the victim's answer": lambda a: f"/v1/query/{a.trace_id}",
    "feedback on the victim's answer": lambda a: f"/v1/feedback/{a.trace_id}",
    "feedback by a parameter": lambda a: f"/v1/feedback?trace_id={a.trace_id}",
    "all feedback": lambda a: "/v1/feedback",
    "the history of questions": lambda a: f"/v1/history?tenant_id={a.other_tenant}",
    "all questions": lambda a: "/v1/queries?limit=100",
    "conversations": lambda a: f"/v1/conversations?tenant_id={a.other_tenant}",
    "suggestions": lambda a: f"/v1/suggest?q={quote(a.text[:12])}",
    "completions of a word": lambda a: f"/v1/autocomplete?q={a.keeper[:8]}",
    "a search by its address": lambda a: f"/v1/search?q={quote(a.exact)}&persona={a.persona}",
    "a query by its address": lambda a: f"/v1/query?query={quote(a.exact)}&persona={a.barred}",
    "a foreign chunk": lambda a: f"/v1/chunks/{quote(a.chunk_id, safe='')}",
    "all chunks": lambda a: "/v1/chunks?limit=100",
    "documents by their ids": lambda a: f"/v1/documents/batch?ids={a.document_id}",
    "an export": lambda a: f"/v1/export?tenant_id={a.other_tenant}",
    "the other tenant": lambda a: f"/v1/tenants/{a.other_tenant}",
    "all tenants": lambda a: "/v1/tenants",
    "the documents of the other tenant": lambda a: f"/v1/tenants/{a.other_tenant}/documents",
    "the documents of the other persona": lambda a: f"/v1/personas/{a.barred}/documents",
    "all personas": lambda a: "/v1/personas",
    "figures of all": lambda a: "/v1/stats",
    "what was used by whom": lambda a: f"/v1/usage?tenant_id={a.other_tenant}",
    "the audit's report": lambda a: "/v1/audit",
    "documents for administrators": lambda a: "/v1/admin/documents",
    "documents of an older version": lambda a: f"/v0/documents/{a.document_id}",
    "documents without a version": lambda a: f"/documents/{a.document_id}",
    "documents of an inner version": lambda a: f"/internal/v1/documents/{a.document_id}",
    "documents behind a prefix": lambda a: f"/api/v1/documents/{a.document_id}",
    "the versions of a foreign document": lambda a: f"/v1/documents/{a.document_id}/versions",
    "the source of a foreign document": lambda a: f"/v1/documents/{a.document_id}/raw",
    "the vectors of a foreign document": lambda a: f"/v1/documents/{a.document_id}/vectors",
    "documents like a foreign one": lambda a: f"/v1/documents/{a.document_id}/similar",
    "variables of the process": lambda a: "/debug/vars",
    "the state of the process": lambda a: "/debug/pprof/heap",
    "the environment": lambda a: "/actuator/env",
    "caches": lambda a: "/v1/cache",
    "interactive documentation": lambda a: "/docs",
}

_CALLS: dict[str, tuple[str, str, Callable[[Aim], Any]]] = {
    "several questions at a time": (
        "POST",
        "/v1/query/batch",
        lambda a: {"queries": [a.query().json, a.query(persona=a.barred).json]},
    ),
    "several questions beside each other": (
        "POST",
        "/v1/queries",
        lambda a: {"queries": [a.query().json, a.query(persona=a.barred).json]},
    ),
    "a search by its body": ("POST", "/v1/search", lambda a: a.query(persona=a.barred).json),
    "documents by a list of ids": ("POST", "/v1/documents/get", lambda a: {"ids": [a.document_id]}),
    "a count of what matches": ("POST", "/v1/count", lambda a: {"filter": {"keeper": a.keeper}}),
    "facets": ("POST", "/v1/facets", lambda a: {"key": "keeper", "persona": a.persona}),
    "an explanation": ("POST", "/v1/explain", lambda a: a.query(persona=a.barred).json),
    "a graph": (
        "POST",
        "/graphql",
        lambda a: {"query": f'{{documents(tenant: "{a.other_tenant}") {{id text metadata}}}}'},
    ),
    "a comparison with a foreign document": (
        "POST",
        "/v1/similar",
        lambda a: {"document_id": a.document_id, "persona": a.persona},
    ),
}

_CHANGES: dict[str, tuple[str, Target, Callable[[Aim], Any]]] = {
    "a foreign document replaced in place": (
        "PUT",
        lambda a: f"/v1/documents/{a.document_id}",
        lambda a: {"persona": a.persona, "text": "Replaced by the intruder."},
    ),
    "a foreign document's metadata changed": (
        "PATCH",
        lambda a: f"/v1/documents/{a.document_id}",
        lambda a: {"metadata": {"title": "Changed by the intruder."}},
    ),
    "a foreign document moved": (
        "PATCH",
        lambda a: f"/v1/documents/{a.document_id}",
        lambda a: {"persona": a.persona, "tenant_id": a.tenant},
    ),
    "a foreign document written to": (
        "POST",
        lambda a: f"/v1/documents/{a.document_id}",
        lambda a: {"persona": a.persona, "text": "Written by the intruder."},
    ),
    "a foreign document shared": (
        "POST",
        lambda a: f"/v1/documents/{a.document_id}/share",
        lambda a: {"tenant_id": a.tenant, "persona": a.persona},
    ),
    "a foreign document copied": (
        "POST",
        lambda a: f"/v1/documents/{a.document_id}/copy",
        lambda a: {"persona": a.persona},
    ),
    "a foreign document indexed anew": (
        "POST",
        lambda a: f"/v1/documents/{a.document_id}/reindex",
        lambda a: {},
    ),
    "documents deleted by a list of ids": (
        "POST",
        lambda a: "/v1/documents/delete",
        lambda a: {"ids": [a.document_id], "document_ids": [a.document_id]},
    ),
    "documents deleted by a batch": (
        "DELETE",
        lambda a: "/v1/documents/batch",
        lambda a: {"documents": [a.document_id], "ids": [a.document_id]},
    ),
    "a tenant deleted": ("DELETE", lambda a: f"/v1/tenants/{a.other_tenant}", lambda a: None),
    "a persona deleted": ("DELETE", lambda a: f"/v1/personas/{a.barred}", lambda a: None),
}


def _get(target: Target) -> Callable[[Aim], Request]:
    return lambda aim: Request("GET", target(aim))


def _called(method: str, path: str, body: Callable[[Aim], Any]) -> Callable[[Aim], Request]:
    return lambda aim: Request(method, path, json=body(aim))


def _changed(method: str, target: Target, body: Callable[[Aim], Any]) -> Callable[[Aim], Request]:
    return lambda aim: Request(method, target(aim), json=body(aim))


UNPUBLISHED_READS: tuple[Probe, ...] = (
    *(Probe(name, "unpublished", _get(target)) for name, target in _PAGES.items()),
    *(Probe(name, "unpublished", _called(*call)) for name, call in _CALLS.items()),
)
"""A gateway may have some of them: what they say is looked at, not that they are there."""

UNPUBLISHED_WRITES: tuple[Probe, ...] = tuple(
    Probe(name, "unpublished", _changed(*change), writes=True) for name, change in _CHANGES.items()
)
"""The same for what changes something: every document of others stays as it was."""
