"""Errors as RFC 9457 `application/problem+json`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PROBLEM_JSON = "application/problem+json"


class Problem(Exception):
    """An error that a client is meant to read.

    `kind` is the last part of the problem's `type` (`urn:ragdrill:problem:<kind>`), by default
    made from the status. `extra` are members added to the document. `detail` and `extra` must
    hold nothing of another tenant and no secret.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.headers = headers or {}
        self.extra = extra


def phrase(status: int) -> str:
    """The reason phrase of an HTTP status, such as `Not Found`."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def problem_response(problem: Problem, *, instance: str, trace_id: str) -> Response:
    """The HTTP response of a problem. `instance` is the path that was asked for."""
    title = phrase(problem.status)
    kind = problem.kind or title.lower().replace(" ", "-")
    body = {
        "type": f"urn:ragdrill:problem:{kind}",
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "trace_id": trace_id,
        **problem.extra,
    }
    headers = {"Cache-Control": "no-store", **problem.headers}
    return Response(orjson.dumps(body), problem.status, headers=headers, media_type=PROBLEM_JSON)


def _respond(request: Request, problem: Problem) -> Response:
    trace_id = request.scope.get("trace_id", "")
    return problem_response(problem, instance=request.url.path, trace_id=trace_id)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _respond(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: "There is nothing at this path.",
        405: "This path does not take that method.",
    }
    detail = details.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    return _respond(request, Problem(error.status_code, detail, headers=headers))


async def _on_any(request: Request, error: Exception) -> Response:
    return _respond(request, Problem(500, "The service failed; the trace_id leads to its log."))


EXCEPTION_HANDLERS: dict[Any, Any] = {
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    Exception: _on_any,
}
"""For `Starlette(exception_handlers=...)`: every error of the service becomes a problem."""
