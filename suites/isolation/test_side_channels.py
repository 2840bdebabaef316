"""isolation/side-channels: nothing beside the answer itself tells one tenant about another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from fixtures.canaries import Canaries, require_no_leak
from fixtures.hostile import Hostile
from harness import conformance, needs
from harness.checks.markers import Finder, Leak, Marker, excerpt, new_word
from harness.checks.probes import Aim, Probe, at_nothing, shape
from harness.checks.probes_paths import READ_PROBES, WRITE_PROBES
from harness.checks.probes_query import QUERY_PROBES
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import GatewayClient

CROWD = 24
"""Documents that another namespace writes to be seen, if anything is to be seen of them."""

INSIDE = ("Traceback", "psycopg", "SELECT ", "rag-chunks-", "127.0.0.1")
"""What no error may show: a stack, a statement, a collection or an inner address."""

Shapes = dict[tuple[str, str], dict[str, Any]]


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_foreign_and_absent_look_the_same(
    hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """Whatever names a document, tenant, marker or point of another namespace MUST get, to the
    last header, the answer that names of nothing get, errors included."""
    # A persona's ids are its tenant's: one tenant cannot use an id twice, and may know that.
    aims = [aim for aim in canaries.aims() if aim.tenant != aim.other_tenant][:2]
    # Those of another persona are hidden as well, and so are those that were deleted.
    reads = [*aims, *canaries.aims_within()[:1], *canaries.aims_at_the_deleted()[:1]]
    probes = [*QUERY_PROBES.values(), *READ_PROBES.values()]
    told = _told_apart(hostile, probes, reads)
    writes: list[dict[str, Any]] = []
    count = len(probes) * len(reads)
    for group in ("delete", "write", "batch", "unpublished"):
        # One after the other: what the intruder has written under a name is its own to delete.
        chosen = [probe for probe in WRITE_PROBES.values() if probe.group == group]
        writes += _told_apart(hostile, chosen, canaries.intrusions()[:1])
        hostile.tidy()
        count += len(chosen)
    evidence.require(
        f"the answers to {count} requests are the same for foreign and for absent names",
        not told + writes,
        expected="one answer for both, but for trace, date and the name itself",
        actual=(told + writes)[:2] or "the same",
        told_apart=[each["probe"] for each in told + writes],
    )


def _told_apart(hostile: Hostile, probes: list[Probe], aims: list[Aim]) -> list[dict[str, Any]]:
    found = []
    foreign = _shapes(hostile, probes, aims)
    absent = _shapes(hostile, probes, [at_nothing(aim) for aim in aims])
    for key, answer in foreign.items():
        if answer != absent[key]:
            request = next(p for p in probes if p.name == key[0]).make(aims[0]).curl()
            found.append({"probe": key[0], "foreign": answer, "absent": absent[key], "as": request})
    return found


def _shapes(hostile: Hostile, probes: list[Probe], aims: list[Aim]) -> Shapes:
    shapes: Shapes = {}
    for at, (probe, aim, request, seen) in enumerate(hostile.ask_all(probes, aims)):
        shapes[probe.name, f"{aim.asker}, aim {at % len(aims)}"] = shape(request, seen, aim)
    return shapes


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_what_others_write_moves_nothing(
    hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """Counts, pages, ranks, scores and headers of one namespace MUST be the same before, while and
    after other namespaces hold many near documents."""
    hunter, quarry = canaries.pair()
    aims = [aim for aim in canaries.aims() if (aim.tenant, aim.persona) == (hunter.id, "work")]
    probes = [
        probe
        for probe in (*QUERY_PROBES.values(), *READ_PROBES.values())
        if probe.group in ("plain", "filter", "size", "list", "query string")
    ]
    before = _shapes(hostile, probes, aims)
    with _crowd(canaries.gateways[quarry.id], "work", aims[0].text):
        of_a_tenant = _shapes(hostile, probes, aims)
    with _crowd(canaries.gateways[hunter.id], "personal", aims[0].text):
        of_a_persona = _shapes(hostile, probes, aims)
    after = _shapes(hostile, probes, aims)
    moved = {
        when: [
            {"probe": key[0], "before": before[key], when: shapes[key]}
            for key in before
            if shapes[key] != before[key]
        ][:3]
        for when, shapes in (
            (f"while another tenant holds {CROWD} more", of_a_tenant),
            (f"while another persona holds {CROWD} more", of_a_persona),
            ("after they are gone", after),
        )
    }
    evidence.require(
        f"{len(before)} answers are the same whatever others hold",
        not any(moved.values()),
        expected="the same results, order, scores, pages and headers",
        actual={when: rows for when, rows in moved.items() if rows} or "the same",
    )


@contextmanager
def _crowd(gateway: GatewayClient, persona: str, text: str) -> Iterator[None]:
    documents = [
        {"persona": persona, "text": f"{text} Copy {n}.", "metadata": {"copy": n}}
        for n in range(CROWD)
    ]
    written = gateway.put_documents(documents).expect(201).json["documents"]
    try:
        yield
    finally:
        for document in written:
            gateway.delete_document(document["document_id"])


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_logs_and_metrics_tell_no_content(
    hostile: Hostile, canaries: Canaries, stack: Stack, evidence: Evidence
) -> None:
    """After reading, writing, searching and provoking errors, no log line and no metric of any role
    MUST hold text, metadata or questions of a tenant, and no metric its name or its ids."""
    question, broken = new_word(), new_word()
    for (_, persona), gateway in canaries.namespaces():
        gateway.query(f"What of {question}?", persona)
        gateway.query(f"What of {question}?", persona, filter={"keeper": broken})
        gateway.request("POST", "/v1/query", json={"query": broken, "persona": persona, broken: 1})
        gateway.put_document(persona, broken, metadata={"a" * 99: broken})
        gateway.list_documents(cursor=broken)
    hostile.fire([*QUERY_PROBES.values(), *READ_PROBES.values()], canaries.aims()[:1])
    asked = [
        Marker(question, "a question", "", "", "text"),
        Marker(broken, "an error", "", "", "text"),
    ]
    content = [m for c in canaries.documents for m in c.markers if m.part in ("text", "metadata")]
    names = [Marker(name, name, "", "", "name") for name in canaries.tenants]
    ids = [m for c in canaries.documents for m in c.markers if m.part == "id"]
    logs = {role: stack.logs(role) for role in stack.roles()}
    metrics = dict(_metrics(stack))
    found = _found(Finder([*content, *asked]), logs, "log of")
    found += _found(Finder([*content, *asked, *names, *ids]), metrics, "metrics of")
    evidence.require(
        "the logs and metrics of the path that answers were read",
        logs.keys() >= {"edge", "gateway"}
        and metrics.keys() >= {"gateway", "vectordb"}
        and any(line for line in logs["gateway"].splitlines()),
        actual={"logs": {r: len(t) for r, t in logs.items()}, "metrics": sorted(metrics)},
    )
    require_no_leak(
        evidence,
        f"no content in the logs of {len(logs)} and the metrics of {len(metrics)} roles",
        found,
    )


def _found(finder: Finder, places: dict[str, str], what: str) -> list[Leak]:
    return [
        Leak(
            probe="reading logs and metrics",
            asker="an operator",
            request="",
            where=f"{what} {role}",
            found=excerpt(text, marker.word),
            whose=marker.whose,
            marker=marker.word,
        )
        for role, text in places.items()
        for marker in finder.find(text)
    ]


def _metrics(stack: Stack) -> Iterator[tuple[str, str]]:
    """The metrics of each role that has some; Prometheus's as the labels that it holds."""
    paths = {"metrics": "/api/v1/series?match[]={__name__!=''}"}
    for role in stack.roles():
        if not stack.endpoint(role).url.startswith("http"):
            continue
        key = stack.credentials(role).get("api_key", "")
        path = paths.get(role, "/metrics")
        try:
            answer = httpx.get(
                stack.endpoint(role).url + path,
                headers={"api-key": key, "Authorization": f"Bearer {key}"} if key else {},
                timeout=10,
                trust_env=False,
            )
        except httpx.HTTPError:
            continue
        if answer.status_code == 200:
            yield role, answer.text


@conformance("isolation/side-channels", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_errors_and_traces_tell_nothing_of_others(
    hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """An error MUST say the same to whoever provokes it, whatever other tenants store, and carry
    nothing but the asker's own trace."""
    aims = canaries.aims()
    probes = [p for p in (*QUERY_PROBES.values(), *READ_PROBES.values()) if p.refused]
    traces: dict[str, str] = {}
    wrong: list[str] = []
    leaked: list[Leak] = []
    for probe, aim, request, seen in hostile.ask_all(probes, aims):
        leaked += hostile.judged(probe, aim, request, seen)
        told = {k.lower(): v for k, v in seen.headers}
        trace = told.get("x-request-id", "")
        if (
            trace
            and trace in traces
            and not any(k.lower() == "x-request-id" for k, _ in request.headers)
        ):
            wrong.append(f"{probe.name}: the trace of {traces[trace]} once more")
        traces[trace] = f"{aim.asker}, {probe.name}"
        is_problem = seen.text and "problem+json" in told.get("content-type", "")
        problem = json.loads(seen.text) if is_problem else {}
        if problem and problem.get("trace_id", trace) != trace:
            wrong.append(f"{probe.name}: body and header name different traces")
        if any(word in seen.text and word not in request.sent for word in INSIDE):
            wrong.append(f"{probe.name}: {seen.text[:200]}")
    require_no_leak(evidence, f"{len(probes) * len(aims)} errors hold nothing foreign", leaked)
    evidence.require(
        "each error carries its own trace alone, and nothing of the inside",
        not wrong,
        expected="one trace an answer; no statement, stack or collection",
        actual=wrong[:5] or "its own",
    )
