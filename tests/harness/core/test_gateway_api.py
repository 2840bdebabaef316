"""What an adapter makes of an operation and of an answer, and what is made of its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.adapters import load_api
from harness.core.errors import HarnessError, NotAllowed
from harness.core.gateway_api import (
    REFERENCE,
    Call,
    Delete,
    GatewayApi,
    Health,
    List,
    Operation,
    Query,
    Read,
    Reply,
    Said,
    Write,
    WriteBatch,
    as_json,
    from_json,
)

SPACES = Path(__file__).resolve().parents[3] / "docs" / "examples" / "spaces" / "adapter.py"
OPERATIONS = (
    Query("who?", "work", 3, False, {"lang": "de"}),
    Write("work", "text", "d1", {"a": 1}),
    WriteBatch((Write("work", "one"), Write("work", "two", "d2"))),
    Read("d1"),
    List("work", "next", 9),
    Delete("d1"),
    Health(),
)


@pytest.fixture
def spaces() -> GatewayApi:
    return load_api(str(SPACES))


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, given, json.dumps(body))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: type(each).__name__)
def test_an_operation_survives_the_way_to_another_process(operation: Operation) -> None:
    assert from_json(json.loads(json.dumps(as_json(operation)))) == operation


def test_the_reference_api_asks_as_its_schema_says() -> None:
    asked = [REFERENCE.ask(each) for each in OPERATIONS]
    assert [f"{each.method} {each.target}" for each in asked] == [
        "POST /v1/query",
        "POST /v1/documents",
        "POST /v1/documents/batch",
        "GET /v1/documents/d1",
        "GET /v1/documents?persona=work&cursor=next&limit=9",
        "DELETE /v1/documents/d1",
        "GET /readyz",
    ]
    assert asked[0].json["filter"] == {"lang": "de"}
    assert "filter" not in REFERENCE.ask(Query("who?", "work")).json
    assert asked[2].json["documents"][0] == {"persona": "work", "text": "one", "metadata": {}}


def test_what_the_api_lacks_is_not_asked_for(spaces: GatewayApi) -> None:
    for operation in (OPERATIONS[0], OPERATIONS[2]):
        with pytest.raises(NotAllowed, match=r"has no (filter|batch)"):
            spaces.ask(operation)


def test_the_example_asks_in_its_own_words(spaces: GatewayApi) -> None:
    asked = spaces.ask(Query("who?", "work/1", 3, False))
    words = {"words": "who?", "most": 3, "order": "near"}
    assert asked == Call("SEARCH", "/space/work%2F1", words)
    assert spaces.ask(Read("d1")).headers == {"X-Note": "d1"}
    assert spaces.credentials("secret") == {"X-Pass": "secret"}


@pytest.mark.parametrize(
    ("code", "status"), [("who", 401), ("not-yours", 403), ("nothing", 404), ("melted", 500)]
)
def test_a_refusal_dressed_as_200_is_no_success(spaces: GatewayApi, code: str, status: int) -> None:
    assert spaces.read(Read("d1"), reply({"ok": False, "code": code})).status == status


def test_an_answer_is_told_in_our_words(spaces: GatewayApi) -> None:
    hit = {"key": "d1", "space": "work", "body": "text", "about": {"a": 1}, "rank": 0.5}
    said = spaces.read(Query("who?", "work"), reply({"ok": True, "hits": [hit], "without": []}))
    row = said.body["results"][0]
    assert (said.status, row["document_id"], row["text"], row["score"]) == (200, "d1", "text", 0.5)
    listed = spaces.read(List(), reply({"ok": True, "notes": [hit], "more": None}))
    assert listed.body["next_cursor"] is None
    written = spaces.read(Write("work", "text"), reply({"ok": True}, x_note="d7"))
    assert (written.status, written.body["document_id"]) == (201, "d7")
    assert spaces.read(Delete("d7"), reply({"ok": True}, x_note="d7")).status == 204


def test_what_a_gateway_does_not_tell_makes_a_skip_and_no_error(spaces: GatewayApi) -> None:
    said = spaces.read(Query("who?", "work"), reply({"ok": True, "hits": [], "without": []}))
    with pytest.raises(NotAllowed, match="does not tell 'embed_model'"):
        said.body["embed_model"]


def test_an_answer_that_the_adapter_can_not_read_is_an_error_of_ours(spaces: GatewayApi) -> None:
    with pytest.raises(HarnessError, match="could not read"):
        spaces.read(Read("d1"), Reply(200, {}, "<html>"))
    # A server error in whatever shape is the target's own.
    assert spaces.read(Read("d1"), Reply(502, {}, "<html>")).status == 502


class Careless(GatewayApi):
    """Says whatever it is told to."""

    name = "careless"

    def __init__(self, said: Said) -> None:
        self._said = said

    def call(self, operation: Operation) -> Call:
        return Call("GET", "/")

    def said(self, operation: Operation, reply: Reply) -> Said:
        return self._said


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (Query("who?", "work"), Said(200)),
        (Query("who?", "work"), Said(200, {"hits": []})),
        (Query("who?", "work"), Said(200, {"results": [{"document_id": "d1"}]})),
        (Query("who?", "work"), Said(200, {"results": "none"})),
        (Write("work", "text"), Said(200, {"document_id": "d1"})),
        (Delete("d1"), Said(200)),
        (List(), Said(200, {"documents": []})),
        (Read("d1"), Said(201, {"document_id": "d1", "text": ""})),
    ],
)
def test_a_success_without_what_it_must_say_is_refused(operation: Operation, said: Said) -> None:
    with pytest.raises(HarnessError, match="careless"):
        Careless(said).read(operation, Reply(200, {}, "{}"))
