"""Tests for harness/checks/compatibility.py: additions break nobody, all else is told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from harness.checks.compatibility import breaking_changes
from harness.checks.openapi import Description

Document = dict[str, Any]
Change = Callable[[Document], object]


def base() -> Document:
    """A description with a bit of everything that ours has."""
    ask = {
        "type": "object",
        "additionalProperties": False,
        "required": ["query"],
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 100},
            "top_k": {"type": "integer", "minimum": 1, "maximum": 50, "default": 5},
            "tier": {"enum": ["hot", "cold"], "type": "string", "default": "hot"},
            "filter": {
                "anyOf": [
                    {
                        "type": "object",
                        "propertyNames": {"pattern": "^[a-z]+$"},
                        "additionalProperties": {
                            "anyOf": [{"type": "boolean"}, {"type": "integer"}]
                        },
                    },
                    {"type": "null"},
                ],
                "default": None,
            },
        },
    }
    answer = {
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": {"type": "array", "items": {"$ref": "#/components/schemas/v1.Result"}},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }
    result = {
        "type": "object",
        "required": ["id", "score"],
        "properties": {"id": {"type": "string"}, "score": {"type": "number"}},
    }
    return {
        "openapi": "3.1.0",
        "paths": {
            "/v1/ask/{space}": {
                "parameters": [
                    {"name": "space", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "post": {
                    "security": [{"bearer": []}],
                    "parameters": [
                        {"name": "X-Try", "in": "header", "schema": {"type": "string"}},
                        {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/v1.Ask"}}
                        },
                    },
                    "responses": {
                        "200": {
                            "headers": {"X-Try": {"schema": {"type": "string"}}},
                            "content": {
                                "application/json": {
                                    "schema": {"$ref": "#/components/schemas/v1.Answer"}
                                }
                            },
                        },
                        "404": {"description": "none"},
                    },
                },
            },
        },
        "components": {"schemas": {"v1.Ask": ask, "v1.Answer": answer, "v1.Result": result}},
    }


def operation(document: Document) -> Document:
    return document["paths"]["/v1/ask/{space}"]["post"]


def schema(document: Document, name: str) -> Document:
    return document["components"]["schemas"][f"v1.{name}"]


def changed(change: Change) -> list[str]:
    document = copy.deepcopy(base())
    change(document)
    return breaking_changes(Description(base()), Description(document))


ADDITIONS: dict[str, Change] = {
    "nothing": lambda d: None,
    "a path": lambda d: d["paths"].update({"/v1/more": {"get": {"responses": {}}}}),
    "an operation": lambda d: d["paths"]["/v1/ask/{space}"].update(get={"responses": {}}),
    "an optional field of a request": lambda d: schema(d, "Ask")["properties"].update(
        lang={"type": "string"}
    ),
    "a field of an answer": lambda d: schema(d, "Answer")["properties"].update(took={}),
    "a field that is always there": lambda d: schema(d, "Answer")["required"].append("note"),
    "a wider bound of a request": lambda d: schema(d, "Ask")["properties"]["top_k"].update(
        maximum=100
    ),
    "one more choice in a request": lambda d: schema(d, "Ask")["properties"]["tier"]["enum"].append(
        "warm"
    ),
    "a narrower answer": lambda d: schema(d, "Result")["properties"]["score"].update(
        type="integer"
    ),
    "an optional parameter": lambda d: operation(d)["parameters"].append(
        {"name": "page", "in": "query", "schema": {}}
    ),
    "one more error": lambda d: operation(d)["responses"].update({"429": {}}),
    "another name of a path's parameter": lambda d: (
        d["paths"].update({"/v1/ask/{room}": d["paths"].pop("/v1/ask/{space}")}),
        d["paths"]["/v1/ask/{room}"]["parameters"][0].update(name="room"),
    ),
    "other words": lambda d: schema(d, "Ask").update(description="asked", title="Ask"),
    "a deprecation": lambda d: operation(d).update(deprecated=True),
}

BREAKS: dict[str, tuple[Change, str]] = {
    "a path that goes": (lambda d: d["paths"].clear(), "is gone"),
    "a field that is required now": (
        lambda d: schema(d, "Ask")["required"].append("tier"),
        "tier may be missing",
    ),
    "a field that is not taken any more": (
        lambda d: schema(d, "Ask")["properties"].pop("tier"),
        "tier is not known",
    ),
    "a tighter bound": (
        lambda d: schema(d, "Ask")["properties"]["top_k"].update(maximum=20),
        "maximum 20 refuses",
    ),
    "a shorter text": (
        lambda d: schema(d, "Ask")["properties"]["query"].update(maxLength=50),
        "maxLength 50 refuses",
    ),
    "a new pattern": (
        lambda d: schema(d, "Ask")["properties"]["query"].update(pattern="^a"),
        "pattern",
    ),
    "one choice less": (
        lambda d: schema(d, "Ask")["properties"]["tier"]["enum"].remove("cold"),
        "'cold'",
    ),
    "another type": (
        lambda d: schema(d, "Ask")["properties"]["top_k"].update(type="string"),
        "of the type integer",
    ),
    "another default": (
        lambda d: schema(d, "Ask")["properties"]["top_k"].update(default=3),
        "stands for 3",
    ),
    "null that is not taken any more": (
        lambda d: schema(d, "Ask")["properties"]["filter"]["anyOf"].pop(),
        "of the type null",
    ),
    "fewer kinds of values in a map": (
        lambda d: schema(d, "Ask")["properties"]["filter"]["anyOf"][0]["additionalProperties"][
            "anyOf"
        ].pop(0),
        "of the type boolean",
    ),
    "other names in a map": (
        lambda d: schema(d, "Ask")["properties"]["filter"]["anyOf"][0].update(
            propertyNames={"pattern": "^[a-m]+$"}
        ),
        "the names",
    ),
    "a field of an answer that may be missing": (
        lambda d: schema(d, "Answer")["required"].clear(),
        "results may be missing",
    ),
    "a field of an answer that goes": (
        lambda d: schema(d, "Answer")["properties"].pop("note"),
        "note is gone",
    ),
    "an answer of another type inside": (
        lambda d: schema(d, "Result")["properties"]["id"].update(type="integer"),
        "results[].id is of the type integer",
    ),
    "null in an answer": (
        lambda d: schema(d, "Result")["properties"].update(
            score={"anyOf": [{"type": "number"}, {"type": "null"}]}
        ),
        "of the type null",
    ),
    "another status of success": (
        lambda d: operation(d)["responses"].update({"202": operation(d)["responses"].pop("200")}),
        "status 202",
    ),
    "a header that goes": (
        lambda d: operation(d)["responses"]["200"].pop("headers"),
        "no header X-Try",
    ),
    "an answer without its body": (
        lambda d: operation(d)["responses"]["200"].pop("content"),
        "no body any more",
    ),
    "an answer of another content type": (
        lambda d: operation(d)["responses"]["200"].update(
            content={"text/csv": {"schema": {"type": "string"}}}
        ),
        "type text/csv now",
    ),
    "a parameter that is required now": (
        lambda d: operation(d)["parameters"][1].update(required=True),
        "query parameter limit is required now",
    ),
    "a new parameter that is required": (
        lambda d: operation(d)["parameters"].append(
            {"name": "page", "in": "query", "required": True, "schema": {}}
        ),
        "query parameter page is required now",
    ),
    "a parameter that goes": (
        lambda d: operation(d)["parameters"].pop(),
        "query parameter limit is gone",
    ),
    "a body of another type": (
        lambda d: operation(d)["requestBody"].update(content={"text/plain": {}}),
        "application/json is not taken",
    ),
    "other credentials": (
        lambda d: operation(d).update(security=[{"mtls": []}]),
        "not enough any more",
    ),
    "a keyword that can't be compared": (
        lambda d: schema(d, "Ask")["properties"]["query"].update({"x-odd": 1}),
        "can't be compared",
    ),
}


@pytest.mark.parametrize("what", ADDITIONS)
def test_an_addition_breaks_nobody(what: str) -> None:
    assert changed(ADDITIONS[what]) == []


@pytest.mark.parametrize("what", BREAKS)
def test_a_breaking_change_is_told(what: str) -> None:
    change, why = BREAKS[what]
    assert any(why in reason for reason in changed(change)), changed(change)


def test_a_schema_that_holds_itself_comes_to_an_end() -> None:
    def nest(document: Document) -> None:
        schema(document, "Result")["properties"]["more"] = {
            "$ref": "#/components/schemas/v1.Result"
        }

    old, new = base(), base()
    nest(old)
    nest(new)
    assert breaking_changes(Description(old), Description(new)) == []
    schema(new, "Result")["properties"]["id"] = {"type": "integer"}
    assert breaking_changes(Description(old), Description(new))
