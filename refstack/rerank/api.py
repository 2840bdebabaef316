"""The request, response and error shapes of `/rerank`: TEI's with `texts`, Cohere's else."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from refstack.common.logs import get_logger
from refstack.common.problems import Problem
from refstack.common.responses import JsonResponse
from refstack.rerank.scorers import Scores

MOST_BYTES = 8 << 20
MOST_TEXTS = 1000
MOST_CHARACTERS = 65_536
_TEI = ("query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction")
_COHERE = ("query", "documents", "model", "top_n", "return_documents", "max_tokens_per_doc")


class ApiError(Exception):
    """An error that either client reads: TEI's `error` and `error_type`, Cohere's `message`."""

    def __init__(
        self, status: int, message: str, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "error_type": kind, "message": message}
        self.headers = headers or {}


@dataclass(frozen=True)
class Ask:
    """One checked request. `most` is how many results are wanted."""

    query: str
    texts: list[str]
    cohere: bool
    most: int
    raw: bool
    with_text: bool


def parse(body: bytes) -> Ask:
    """Check the body of `POST /rerank`; raises ApiError 422, or 413 for too many texts."""
    try:
        fields = orjson.loads(body)
    except ValueError:
        raise _invalid("the body is not valid JSON") from None
    if not isinstance(fields, dict):
        raise _invalid("the body must be a JSON object with `query` and `texts` or `documents`")
    cohere = "documents" in fields
    known = _COHERE if cohere else _TEI
    unknown = [name for name in fields if name not in known]
    if unknown:
        where = "documents" if cohere else "texts"
        raise _invalid(f"unknown field; with `{where}` the fields are {', '.join(known)}")
    query = fields.get("query")
    if not isinstance(query, str) or not 1 <= len(query) <= MOST_CHARACTERS:
        raise _invalid(f"`query` must be a string of 1 to {MOST_CHARACTERS} characters")
    texts = _texts("documents" if cohere else "texts", fields)
    flag = "return_documents" if cohere else "return_text"
    return Ask(
        query,
        texts,
        cohere,
        _top(fields.get("top_n"), len(texts)),
        _flag(fields, "raw_scores"),
        _flag(fields, flag),
    )


def _texts(name: str, fields: dict[str, Any]) -> list[str]:
    given = fields.get(name)
    if not isinstance(given, list) or not given:
        raise _invalid(f"`{name}` must be a non-empty array of strings")
    if len(given) > MOST_TEXTS:
        raise ApiError(
            413,
            f"`{name}` may hold at most {MOST_TEXTS} texts; it holds {len(given)}",
            "Validation",
        )
    texts: list[str] = []
    for place, one in enumerate(given):
        text = one.get("text") if isinstance(one, dict) else one
        if not isinstance(text, str) or not 1 <= len(text) <= MOST_CHARACTERS:
            raise _invalid(f"text {place} must be a string of 1 to {MOST_CHARACTERS} characters")
        texts.append(text)
    return texts


def _top(given: Any, texts: int) -> int:
    if given is None:
        return texts
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise _invalid("`top_n` must be a whole number from 1")
    return min(given, texts)


def _flag(fields: dict[str, Any], name: str) -> bool:
    given = fields.get(name, False)
    if not isinstance(given, bool):
        raise _invalid(f"`{name}` must be true or false")
    return given


def _invalid(message: str) -> ApiError:
    return ApiError(422, message, "Validation")


def respond(ask: Ask, scores: Scores) -> Response:
    """Best first; equal scores in the order of the texts.

    Scores lie between 0 and 1 (the logistic function of the raw ones), as both APIs have it.
    """
    shown = scores if ask.raw else 1 / (1 + np.exp(-scores))
    order = np.argsort(-scores, kind="stable")[: ask.most]
    score_name = "relevance_score" if ask.cohere else "score"
    results: list[dict[str, Any]] = []
    for index in order.tolist():
        entry: dict[str, Any] = {"index": index, score_name: float(shown[index])}
        if ask.with_text and ask.cohere:
            entry["document"] = {"text": ask.texts[index]}
        elif ask.with_text:
            entry["text"] = ask.texts[index]
        results.append(entry)
    if not ask.cohere:
        return JsonResponse(results)
    meta = {"api_version": {"version": "2"}}
    return JsonResponse({"id": str(uuid.uuid4()), "results": results, "meta": meta})


def _shaped(error: ApiError) -> Response:
    return JsonResponse(error.body, error.status, headers=error.headers)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _shaped(error)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _shaped(ApiError(error.status, error.detail, "Validation", error.headers))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "there is nothing at this path", 405: "this path does not take that method"}
    message = messages.get(error.status_code, error.detail)
    return _shaped(ApiError(error.status_code, message, "Validation", dict(error.headers or {})))


async def _on_any(request: Request, error: Exception) -> Response:
    get_logger().error("failed", exc_info=error)
    return _shaped(ApiError(500, "the reranker failed", "Backend"))


EXCEPTION_HANDLERS: dict[Any, Any] = {
    ApiError: _on_api_error,
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    Exception: _on_any,
}
"""For `Starlette(exception_handlers=...)`: every error in the shape above."""
