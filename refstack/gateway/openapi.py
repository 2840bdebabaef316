"""The OpenAPI 3.1 description, made from the models that validate requests and responses."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from refstack.common import VERSION
from refstack.gateway import models
from refstack.gateway.deprecations import DOCUMENT_IN_THE_SINGULAR

PREFIX = "v1."
"""Every schema of API version 1 is published as `components.schemas["v1.<name>"]`."""

_BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
_ERRORS = {
    400: "The body is not JSON.",
    401: "No usable access token.",
    403: "The token gives no access to this persona or tenant.",
    404: "No such document, or not this tenant's.",
    409: "A document_id is held by a persona that the token does not have.",
    413: "The body or the number of chunks is too large.",
    422: "The request does not fit its schema; `errors` says where.",
    500: "The service failed.",
    503: "Something that the request needs is away; `Retry-After` says when to try again.",
}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{PREFIX}{model.__name__}"}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": _reference(model)}}


def _errors(*statuses: int) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": _reference(models.Problem)}}
    return {
        str(status): {
            "description": _ERRORS[status],
            "content": problem,
            **({"headers": _RETRY_AFTER} if status == 503 else {}),
        }
        for status in sorted({401, 403, 500, 503, *statuses})
    }


def _operation(
    name: str,
    summary: str,
    answer: dict[str, Any],
    errors: tuple[int, ...],
    *,
    body: type[BaseModel] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "security": _BEARER,
        "responses": {**answer, **_errors(*errors)},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _answer(status: int, description: str, model: type[BaseModel]) -> dict[str, Any]:
    return {str(status): {"description": description, "content": _json(model)}}


def _list_parameters() -> list[dict[str, Any]]:
    properties = models.ListParameters.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]


def _paths() -> dict[str, Any]:
    canary = {
        "name": "X-Embed-Canary",
        "in": "header",
        "required": False,
        "description": "`1` asks for the canary model, if there is one.",
        "schema": {"type": "string"},
    }
    query = _answer(200, "The best chunks.", models.QueryResponse)
    query["200"]["headers"] = {
        "X-Embed-Canary": {
            "description": "`1` if the canary model answered.",
            "schema": {"const": "1"},
        }
    }
    document_id = {
        "name": "document_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
    }
    return {
        "/v1/query": {
            "post": _operation(
                "query", "Answer a question with the best chunks of one persona's documents.",
                query, (400, 413, 422), body=models.QueryRequest, parameters=[canary],
            )
        },
        "/v1/documents": {
            "post": _operation(
                "writeDocument", "Write or replace a document, durably in both stores.",
                _answer(201, "Durable in both stores.", models.DocumentWritten),
                (400, 409, 413, 422), body=models.DocumentRequest,
            ),
            "get": _operation(
                "listDocuments", "List documents in the order of their ids.",
                _answer(200, "One page.", models.DocumentList), (422,),
                parameters=_list_parameters(),
            ),
        },
        "/v1/documents/batch": {
            "post": _operation(
                "writeDocuments", "Write or replace up to 256 documents, all or none.",
                _answer(201, "All are durable in both stores.", models.BatchWritten),
                (400, 409, 413, 422), body=models.BatchRequest,
            )
        },
        "/v1/documents/{document_id}": {
            "parameters": [document_id],
            "get": _operation(
                "getDocument", "Read a document back.",
                _answer(200, "The document.", models.Document), (404,),
            ),
            "delete": _operation(
                "deleteDocument", "Delete a document from both stores.",
                {"204": {"description": "Gone from both stores."}}, (404,),
            ),
        },
        DOCUMENT_IN_THE_SINGULAR.path: {
            "parameters": [document_id],
            "get": DOCUMENT_IN_THE_SINGULAR.described(_operation(
                "getDocumentInTheSingular", "Read a document back, by an older spelling.",
                _answer(200, "The document.", models.Document), (404,),
            )),
        },
    }  # fmt: skip


def document() -> dict[str, Any]:
    """The OpenAPI document. Schemas of requests and responses carry the prefix `v1.`."""
    directions = [
        (model, "validation" if issubclass(model, models.Request) else "serialization")
        for model in models.PUBLISHED
    ]
    _, definitions = models_json_schema(
        directions,  # type: ignore[arg-type]
        ref_template="#/components/schemas/" + PREFIX + "{model}",
    )
    schemas = {PREFIX + name: schema for name, schema in definitions["$defs"].items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ragdrill reference RAG gateway", "version": VERSION},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": _paths(),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }
