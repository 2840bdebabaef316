"""Tests for harness/checks/openapi.py: an answer is held against what is published of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.checks.openapi import Description
from harness.core.errors import TargetError

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/things/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {}}],
            "get": {
                "deprecated": True,
                "responses": {
                    "200": {
                        "headers": {
                            "Sunset": {"required": True, "schema": {"type": "string"}},
                            "Age": {"schema": {"type": "integer", "minimum": 1}},
                        },
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    "404": {"content": PROBLEM},
                    "204": {"description": "gone"},
                },
            },
        }
    },
    "components": {
        "schemas": {
            "Problem": {
                "type": "object",
                "required": ["status"],
                "properties": {"status": {"type": "integer"}},
            }
        }
    },
}
JSON = {"Content-Type": "application/json; charset=utf-8", "sunset": "soon"}


@pytest.fixture
def description() -> Description:
    return Description(json.loads(json.dumps(DOCUMENT)))


def wrong(description: Description, status: int, headers: dict[str, str], text: str) -> str:
    operation = description.operation("GET /things/{id}")
    return "; ".join(description.problems(operation, status, headers, text))


def test_an_answer_as_described_has_no_problems(description: Description) -> None:
    assert wrong(description, 200, {**JSON, "age": "3"}, "{}") == ""
    assert wrong(description, 204, {}, "") == ""


@pytest.mark.parametrize(
    ("status", "headers", "text", "why"),
    [
        (418, JSON, "{}", "status 418 is not described"),
        (200, {**JSON, "Content-Type": "text/html"}, "{}", "content type text/html"),
        (200, JSON, "[]", "not of type 'object'"),
        (200, JSON, "{", "no JSON"),
        (200, {"Content-Type": "application/json"}, "{}", "Sunset is required and missing"),
        (200, {**JSON, "Age": "0"}, "{}", "header Age"),
        (200, {**JSON, "Age": "old"}, "{}", "header Age"),
        (404, {"Content-Type": "application/problem+json"}, '{"status": "x"}', r"body.status"),
        (404, {"Content-Type": "application/problem+json"}, "{}", "'status' is a required"),
        (204, {}, "gone", "where none is described"),
    ],
)
def test_what_differs_is_told(
    description: Description, status: int, headers: dict[str, str], text: str, why: str
) -> None:
    assert why in wrong(description, status, headers, text)


def test_parameters_of_the_path_belong_to_each_of_its_operations(description: Description) -> None:
    operation = description.operation("GET /things/{id}")
    assert [each["name"] for each in operation.parameters] == ["id"]
    assert operation.deprecated and operation.statuses == {"200", "204", "404"}


def test_what_is_no_description_or_lacks_an_operation_is_refused(description: Description) -> None:
    with pytest.raises(TargetError, match="no OpenAPI"):
        Description({"paths": {}})
    with pytest.raises(TargetError, match="no POST /things"):
        description.operation("POST /things")
    with pytest.raises(TargetError, match="leads nowhere"):
        description.resolved({"$ref": "#/components/schemas/None"})
