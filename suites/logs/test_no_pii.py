"""logs/no-pii: personal data and secrets do not reach the log store, and ordinary text does."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from fixtures.logs import RAG, TENANTS, LogLine, LogStore
from fixtures.planted import Planted, plant, plant_further
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import ShippedLogs, Stack
from harness.drivers.gateway_http import GatewayClient

SETTLE_S = 60.0
"""A bound for busy machines: what is scrubbed comes within a second on an idle one."""


@pytest.fixture
def careless(stack: Stack) -> Iterator[Path]:
    """The log file of a gateway that does not exist, for lines that a careless one would write."""
    if not isinstance(stack, ShippedLogs):
        raise NotAllowed(
            "The log directory of this target can't be reached.",
            expected="a driver on this machine (embedded)",
            actual=type(stack).__name__,
        )
    path = stack.shipped_logs / f"gateway-{secrets.token_hex(3)}.log"
    yield path
    path.unlink(missing_ok=True)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000Z"


def _write(path: Path, lines: list[str]) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def _event(name: str, **fields: object) -> str:
    told = {"ts": _now(), "level": "error", "event": name, "service": "gateway", **fields}
    return json.dumps(told)


def _found(planted: list[Planted], lines: list[LogLine]) -> dict[str, str]:
    """Kind, and the line that holds something of it."""
    return {
        each.kind: f"{line.labels.get('process')}: {line.text[:200]}"
        for each in planted
        for line in lines
        if each.within(line.text)
    }


def _send_everything(
    gateway: GatewayClient, stack: Stack, planted: list[Planted], trace: str
) -> None:
    """Put each planted thing wherever a request can carry it, into good and bad requests."""
    everything = " and ".join(each.text for each in planted)
    named = {"X-Request-Id": trace}
    body = {"query": everything, "persona": "work"}
    gateway.put_document("work", everything, metadata={"note": everything}).expect(201)
    gateway.request("POST", "/v1/query", json=body, headers=named).expect(200)
    gateway.request("POST", "/v1/query", json={**body, "persona": everything}, headers=named)
    gateway.request("POST", "/v1/query", json={**body, "top_k": everything}, headers=named)
    gateway.request("POST", "/v1/query", json={**body, "filter": {everything: [1]}}, headers=named)
    gateway.request("POST", "/v1/query", content=f"{{{everything}", headers=named)
    for each in planted:
        header = each.text.replace(" ", "-")
        gateway.request("GET", f"/v1/documents/{quote(each.text)}", headers=named)
        gateway.request("GET", "/v1/documents", params={"cursor": each.text}, headers=named)
        for name in ("Authorization", "User-Agent", "Cookie", "api-key", "Referer"):
            value = f"Bearer {header}" if name == "Authorization" else header
            gateway.request("POST", "/v1/query", json=body, headers={**named, name: value})
        # An id that looks sane is taken over by every service, and stands in all their logs.
        if each.as_id:
            gateway.request("POST", "/v1/query", json=body, headers={"X-Request-Id": each.as_id})
    httpx.post(
        f"{stack.endpoint('rerank').url}/rerank",
        json={"query": everything, "texts": everything},
        headers={**named, "Authorization": f"Bearer {planted[-1].text}"},
        timeout=10,
        trust_env=False,
    )


@conformance("logs/no-pii", since="0.2")
@needs("read", "write", roles=["edge", "rerank", "logs"], features=["native-api"])
def test_what_requests_carry_never_reaches_the_log_store(
    stack: Stack,
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """Personal data and secrets in questions, documents, headers, ids and bad requests MUST NOT be
    found in any log tenant, nor, but for what a request id carried, in what the gateway wrote."""
    planted = plant()
    trace, last = (f"pii-{secrets.token_hex(8)}" for _ in range(2))
    since = time.time() - 1
    gateway = connect(new_tenant("planted", ("work",)).token)
    _send_everything(gateway, stack, planted, trace)
    gateway.query("the end", "work", headers={"X-Request-Id": last})
    lines = log_store.wait_for(
        RAG, since, lambda found: any(last in line.text for line in found), timeout_s=SETTLE_S
    )
    of_this = sum(trace in line.text for line in lines)
    evidence.require(
        "the requests that carried it left their lines in the rag tenant",
        of_this >= 5 * len(planted) and any(last in line.text for line in lines),
        expected=f"at least {5 * len(planted)} lines, and the last one",
        actual=of_this,
    )
    raw = [line for line in stack.logs("edge").splitlines() if trace in line]
    evidence.require(
        "some of it stood in a log before it was scrubbed, so there was something to scrub",
        any(each.within(line) for line in raw for each in planted),
        expected="a path with it in the log of the edge",
        actual=f"{len(raw)} lines without",
    )
    for tenant in TENANTS:
        found = _found(planted, log_store.lines(tenant, since))
        evidence.require(
            f"nothing of it is in the tenant {tenant}", not found, expected={}, actual=found
        )
    written = [line for line in stack.logs("gateway").splitlines() if trace in line]
    told = {each.kind: line for each in planted for line in written if each.within(line)}
    evidence.require(
        "the gateway did not write it in the first place", not told, expected={}, actual=told
    )


@conformance("logs/no-pii", since="0.2")
@needs("read", "write", roles=["gateway", "logs", "logship"])
def test_what_a_careless_service_logs_is_scrubbed(
    log_store: LogStore, careless: Path, evidence: Evidence
) -> None:
    """Personal data and secrets that a service does log, as a message, in a nested field, in a
    header, in a URL or as plain text, MUST be taken out before the line is stored, however people,
    countries and providers write them."""
    planted = [*plant(), *plant_further()]
    since, marks = time.time() - 1, []
    for each in planted:
        for shape in (
            {"error": f"cannot notify {each.text}: mailbox full"},
            {"errors": [{"loc": ["body"], "input": each.text, "ctx": [[each.text]]}]},
            {"headers": {"x-note": each.text, "authorization": f"Bearer {each.text}"}},
            {"url": f"https://host.example/reset?next={quote(each.text)}"},
            {"query": f"who is {each.text}"},
            {each.text: 1},
        ):
            marks.append(f"careless-{secrets.token_hex(6)}")
            _write(careless, [_event("failed", mark=marks[-1], **shape)])
        if "\n" not in each.text:
            marks.append(f"careless-{secrets.token_hex(6)}")
            _write(careless, [f"{_now()} ERROR {marks[-1]} no route for {each.text}, giving up"])
    lines = log_store.wait_for(
        RAG,
        since,
        lambda found: all(mark in "".join(line.text for line in found) for mark in marks[-3:]),
        timeout_s=SETTLE_S,
    )
    text = "\n".join(line.text for line in lines)
    missing = [mark for mark in marks if mark not in text]
    evidence.require(
        f"all {len(marks)} lines were stored, so silence is not taken for scrubbing",
        not missing,
        expected="none missing",
        actual=missing,
    )
    found = _found(planted, lines)
    evidence.require("nothing planted is in them", not found, expected={}, actual=found)


def _as_written(line: LogLine) -> str:
    """A line that is no JSON is stored as the event of one: what its process wrote."""
    held = json.loads(line.text)
    return str(held["event"]) if held["event"] != "request" else line.text


ORDINARY = (
    "took 1234.56 ms for 15000000 of 15000000 points, 99.95 % within 0.25 s",
    "listening on 127.0.0.1:54321, version 1.31.3, build 20261122, pid 4711",
    "trace 4f9d0e1c2b3a49588796a5b4c3d2e1f0 span 123e4567-e89b-12d3-a456-426614174000",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "commit 88deae91c0ffee0123456789abcdef0123456789 of 2026-11-22 14:34:27 +0100",
    "archived segment 000000010000000000000001 up to 0/15D6A28, 16777216 bytes",
    "from 192.168.100.200 to 10.0.0.1:6333, 3 retries, backoff 1.5-2.0 s",
    "office hours are 0930-1200 and 1300-1730, see 2026-11-22T09:00:00+01:00",
    "token: expired; password authentication failed for user rag_gateway",
    "max_tokens: 512, tokens=4096, basic information for bearer certificates",
    "document doc-0a1b2c3d#12.3 of 4 chunks, ids 100-200-3000, at 1732286067.123456",
    "DE is a country, GB22 a bus line, FR14 a race; 555 of 1234 rows @ 17 rows/s",
)


@conformance("logs/no-pii", since="0.2")
@needs("read", "write", roles=["gateway", "logs", "logship"])
def test_ordinary_text_stays_as_it_was_written(
    log_store: LogStore, careless: Path, evidence: Evidence
) -> None:
    """Times, counts, ports, versions, ids, digests and addresses of machines MUST be stored as they
    were written, and so must prose: a log that is scrubbed of them helps nobody."""
    mark, since = f"ordinary-{secrets.token_hex(6)}", time.time() - 1
    written = [f"{_now()} INFO {mark} {text}" for text in ORDINARY]
    written += [_event("request", mark=mark, said=text, port=54321, ms=12.5) for text in ORDINARY]
    _write(careless, written)
    lines = log_store.wait_for(
        RAG,
        since,
        lambda found: sum(mark in line.text for line in found) >= len(written),
        timeout_s=SETTLE_S,
    )
    stored = [_as_written(line) for line in lines if mark in line.text]
    changed = [line for line in written if line not in stored]
    evidence.require(
        f"{len(written)} ordinary lines are stored as they were written",
        not changed and len(stored) == len(written),
        expected="each as it was",
        actual={"written": changed[:3], "stored": [s for s in stored if s not in written][:3]},
    )
