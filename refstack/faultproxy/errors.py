"""The errors that the control API answers with, worded and numbered as Toxiproxy does."""

from __future__ import annotations


class ApiError(Exception):
    """An error for the caller of the API: its text and its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def bad_body(reason: str) -> ApiError:
    """400: the request body does not say what it should."""
    return ApiError(f"bad request body: {reason}", 400)


def missing_field(field: str) -> ApiError:
    """400: a required field is absent or empty."""
    return ApiError(f"missing required field: {field}", 400)


def proxy_not_found() -> ApiError:
    """404: no proxy of that name."""
    return ApiError("proxy not found", 404)


def proxy_exists() -> ApiError:
    """409: the name of a proxy is taken."""
    return ApiError("proxy already exists", 409)


def invalid_stream() -> ApiError:
    """400: the stream of a toxic is neither of the two."""
    return ApiError("stream was invalid, can be either upstream or downstream", 400)


def invalid_toxic_type() -> ApiError:
    """400: there is no toxic of that type."""
    return ApiError("invalid toxic type", 400)


def toxic_exists() -> ApiError:
    """409: the name of a toxic is taken on this proxy, on either stream."""
    return ApiError("toxic already exists", 409)


def toxic_not_found() -> ApiError:
    """404: no toxic of that name on this proxy."""
    return ApiError("toxic not found", 404)


def cannot_listen(reason: str) -> ApiError:
    """500: the address of a proxy cannot be resolved or bound."""
    return ApiError(reason, 500)
