"""Errors in the shape of Supabase Auth: `{"code", "error_code", "msg"}`."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from refstack.common.logs import get_logger
from refstack.common.problems import Problem
from refstack.common.responses import JsonResponse


class AuthError(Exception):
    """An error that a client is meant to read; its text holds no secret."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": status, "error_code": code, "msg": message}
        self.headers = headers or {}


def invalid(message: str) -> AuthError:
    """A request that is not what the route takes."""
    return AuthError(400, "validation_failed", message)


def _shaped(error: AuthError) -> Response:
    return JsonResponse(error.body, error.status, headers=error.headers)


async def _on_auth_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AuthError)
    return _shaped(error)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _shaped(AuthError(error.status, "validation_failed", error.detail, error.headers))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "There is nothing at this path", 405: "This path does not take that method"}
    message = messages.get(error.status_code, error.detail)
    code = "not_found" if error.status_code == 404 else "validation_failed"
    return _shaped(AuthError(error.status_code, code, message, dict(error.headers or {})))


async def _on_any(request: Request, error: Exception) -> Response:
    get_logger().error("failed", exc_info=error)
    return _shaped(AuthError(500, "unexpected_failure", "The service failed"))


EXCEPTION_HANDLERS: dict[Any, Any] = {
    AuthError: _on_auth_error,
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    Exception: _on_any,
}
"""For `Starlette(exception_handlers=...)`: every error in that shape."""
