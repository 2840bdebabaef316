"""What every client and operator sees: schema, headers, health, metrics, start and stop."""

from __future__ import annotations

import concurrent.futures
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from gateway_servers import Child, until
from gateway_world import Client, Gateway, World
from jsonschema import Draft202012Validator

User = Callable[..., Client]


class Described:
    """The published description, with a check of answers against it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def check(self, answer: httpx.Response, path: str) -> None:
        """The answer's status is documented for the operation and its body fits the schema."""
        method = answer.request.method.lower()
        responses = self.document["paths"][path][method]["responses"]
        assert str(answer.status_code) in responses, f"{answer.status_code} is not documented"
        content = responses[str(answer.status_code)].get("content", {})
        if not content:
            assert answer.content == b""
            return
        kind = answer.headers["content-type"].split(";")[0]
        schema = {**content[kind]["schema"], "components": self.document["components"]}
        Draft202012Validator(schema).validate(answer.json())


@pytest.fixture
def described(gateway: Gateway) -> Described:
    return Described(gateway.http.get("/openapi.json").json())


def test_every_answer_fits_its_published_schema(user: User, described: Described) -> None:
    ann = user()
    query, documents, batch = "/v1/query", "/v1/documents", "/v1/documents/batch"
    one = {"persona": "work", "text": "the lamp is lit", "document_id": "d", "metadata": {"a": 1}}
    cases: list[tuple[str, str, str, dict[str, Any]]] = [
        ("POST", documents, documents, {"json": one}),
        ("POST", batch, batch, {"json": {"documents": [{**one, "document_id": "e"}]}}),
        ("POST", query, query, {"json": {"query": "lamp", "persona": "work"}}),
        ("POST", query, query, {"json": {"query": "lamp"}}),
        ("POST", query, query, {"json": {"query": "lamp", "persona": "home"}}),
        ("POST", query, query, {"content": b"{"}),
        ("POST", query, query, {"content": b'"' + b"x" * 70_000 + b'"'}),
        ("POST", query, query, {"content": b'{"query": "\\ud800", "persona": "work"}'}),
        ("POST", query, query, {"content": b'{"query": "\xff", "persona": "work"}'}),
        ("POST", query, query, {"headers": {"Authorization": "Bearer x"}, "json": {}}),
        ("GET", documents, documents, {}),
        ("GET", documents, documents, {"params": {"limit": "x"}}),
        ("GET", f"{documents}/d", f"{documents}/{{document_id}}", {}),
        ("GET", f"{documents}/none", f"{documents}/{{document_id}}", {}),
        ("GET", f"{documents}/%00", f"{documents}/{{document_id}}", {}),
        ("DELETE", f"{documents}/d", f"{documents}/{{document_id}}", {}),
        ("DELETE", f"{documents}/d", f"{documents}/{{document_id}}", {}),
        ("DELETE", f"{documents}/%00", f"{documents}/{{document_id}}", {}),
    ]
    statuses = []
    for method, path, template, more in cases:
        answer = ann.call(method, path, **more)
        described.check(answer, template)
        statuses.append(answer.status_code)
        assert answer.headers["Cache-Control"] == "no-store"
    assert statuses == [
        201, 201, 200, 422, 403, 400, 413, 400, 400, 401, 200, 422, 200, 404, 404, 204, 404, 404
    ]  # fmt: skip


def test_a_deprecated_route_says_so_and_answers_as_its_successor(
    user: User, described: Described
) -> None:
    ann = user()
    ann.write("the lamp is lit", document_id="d")
    old, template = "/v1/document/d", "/v1/document/{document_id}"
    answer, absent = ann.call("GET", old), ann.call("GET", "/v1/document/a%0Ab")
    assert answer.json() == ann.call("GET", "/v1/documents/d").json()
    for each, status in ((answer, 200), (absent, 404)):
        described.check(each, template)
        assert each.status_code == status
        assert each.headers["Deprecation"] == "@1795392000"
        assert each.headers["Sunset"] == "Mon, 31 May 2027 00:00:00 GMT"
    assert answer.headers["Link"] == '</v1/documents/d>; rel="successor-version"'
    assert absent.headers["Link"] == '</v1/documents/a%0Ab>; rel="successor-version"'
    assert "Deprecation" not in ann.call("GET", "/v1/documents/d").headers


def test_an_answer_that_does_not_fit_would_be_noticed(described: Described) -> None:
    request = httpx.Request("POST", "http://x/v1/query")
    body = {"results": [], "embed_model": "m", "degraded": ["tired"], "trace_id": "t"}
    with pytest.raises(Exception, match="tired"):
        described.check(httpx.Response(200, json=body, request=request), "/v1/query")


def test_request_ids_go_to_every_upstream_and_come_back(world: World, user: User) -> None:
    ann = user()
    ann.write("the lamp is lit")
    world.embed.seen.clear()
    world.rerank.seen.clear()
    answer = ann.query("lamp", headers={"X-Request-Id": "trace-me-123"})
    assert answer.headers["X-Request-Id"] == answer.json()["trace_id"] == "trace-me-123"
    for stand_in in (world.embed, world.rerank):
        assert [headers["x-request-id"] for _, headers, _ in stand_in.seen] == ["trace-me-123"]


def test_health_and_build_info_say_what_runs(world: World) -> None:
    gateway = world.start_gateway(GATEWAY_COLOUR="green")
    answer = gateway.http.get("/healthz")
    assert answer.headers["X-Gateway-Colour"] == "green"
    health = answer.json()
    assert health["colour"] == "green"
    assert health["embed_model"] == "wordllama-256"
    assert health["embed_provider"] == "local"
    assert health["stable_model"] == "wordllama-256" and health["canary"] is False
    labels = (
        'colour="green",embed_model="wordllama-256",embed_provider="local",'
        f'version="{health["version"]}"'
    )
    assert gateway.metric(f"rag_gateway_build_info{{{labels}}}") == 1
    for path in ("/v1/query", "/nothing", "/v1/documents"):
        assert gateway.http.get(path).headers["X-Gateway-Colour"] == "green"


def test_the_metrics_count_queries_and_have_an_edge_at_the_objective(
    world: World, user: User
) -> None:
    gateway = world.start_gateway()
    ann = user(of=gateway)
    ann.write("the lamp is lit", document_id="d")
    ann.query("lamp")
    ann.query("lamp", persona="home")
    world.embed.trouble = lambda _path: 500
    assert ann.query("lamp").status_code == 503
    ann.call("DELETE", "/v1/documents/d")
    ann.call("GET", "/v1/documents/some-id")
    gateway.http.request("PROPFIND", "/some/where")
    name = "rag_gateway_query_latency_seconds"
    assert gateway.metric(f'{name}_bucket{{le="0.25"}}') >= 1
    assert gateway.metric(f"{name}_count") == 2, "the refused query (403) is not timed"
    counted = 'rag_gateway_requests_total{{method="{}",route="{}",status="{}"}}'
    for method, route, status in (
        ("POST", "/v1/query", 200),
        ("POST", "/v1/query", 403),
        ("POST", "/v1/query", 503),
        ("GET", "/v1/documents/{document_id}", 404),
        ("other", "unmatched", 404),
    ):
        assert gateway.metric(counted.format(method, route, status)) == 1, (method, route, status)
    for op in ("ingest", "delete"):
        assert gateway.metric(f'rag_gateway_documents_total{{op="{op}"}}') == 1
    assert gateway.metric('rag_gateway_upstream_latency_seconds_count{upstream="vectordb"}') > 0


def test_a_bad_setting_ends_the_start_with_status_2_and_one_line(world: World) -> None:
    log = world.place / "bad.log"
    env = world.gateway_env(GATEWAY_RERANK_BATCH="many")
    child = Child(["-m", "refstack.gateway", "--port", "0"], env, log)
    assert child.process.wait(20) == 2
    assert child.log().splitlines() == [
        "refstack.gateway: GATEWAY_RERANK_BATCH holds 'many'; "
        "it must hold a whole number from 1 to 256"
    ]


@pytest.fixture
def own_process(world: World, gateway: Gateway) -> Iterator[Gateway]:
    yield world.start_gateway(process=True)


def test_sigterm_finishes_open_requests_on_kept_alive_connections_and_exits_0(
    world: World, user: User, own_process: Gateway
) -> None:
    ann = user(of=own_process)
    ann.write("the lamp is lit")

    def slow(path: str) -> None:
        if "rerank" in path:
            time.sleep(0.6)

    world.rerank.trouble = slow
    world.rerank.seen.clear()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ann.query, "lamp") for _ in range(4)]
        until(lambda: len(world.rerank.seen) == 4, "all four are under way")
        begun = time.monotonic()
        status = own_process.child.terminate()
        ended = time.monotonic() - begun
        answers = [each.result(10) for each in asked]
    assert status == 0
    assert ended < 8, "not left to be killed"
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers["Connection"] for answer in answers} == {"close"}
    assert all(answer.json()["degraded"] is None for answer in answers)


def test_logs_are_one_json_object_a_line_with_the_agreed_fields(
    user: User, own_process: Gateway
) -> None:
    ann = user(of=own_process)
    ann.query("lamp", headers={"X-Request-Id": "trace-me-456"})
    deadline = time.monotonic() + 10
    mine: list[dict[str, object]] = []
    while not mine and time.monotonic() < deadline:
        # The line is written after the answer, so a busy machine may show it a moment later.
        lines = [json.loads(line) for line in own_process.child.log().splitlines()]
        mine = [line for line in lines if line.get("trace_id") == "trace-me-456"]
    (line,) = mine
    assert line["event"] == "request"
    assert line["service"] == "gateway"
    assert (line["route"], line["status"]) == ("/v1/query", 200)
    assert all({"ts", "level", "event", "service"} <= set(each) for each in lines)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
