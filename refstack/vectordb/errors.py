"""The one error type of the server, and how texts of the engine map to statuses of the API."""

from __future__ import annotations

from collections.abc import Iterable


class ApiError(Exception):
    """A request that ends with `status` (HTTP) and `message` (the text of `status.error`)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def format_error(detail: str, what: str = "JSON body") -> ApiError:
    """400: the request cannot be read as what the endpoint takes."""
    return ApiError(400, f"Format error in {what}: {detail}")


def query_error(detail: str) -> ApiError:
    """400: a query parameter cannot be read."""
    return ApiError(400, f"Deserialize error in query parameters: {detail}")


def validation_error(field: str, detail: str, what: str = "JSON body") -> ApiError:
    """422: the request can be read, but a value lies outside its allowed range."""
    return ApiError(422, f"Validation error in {what}: [{field}: {detail}]")


def wrong_input(detail: str) -> ApiError:
    """400: the request contradicts the collection it is for."""
    return ApiError(400, f"Wrong input: {detail}")


def bad_request(detail: str) -> ApiError:
    """400: the request asks for something that cannot be done."""
    return ApiError(400, f"Bad request: {detail}")


def not_found(detail: str) -> ApiError:
    """404."""
    return ApiError(404, f"Not found: {detail}")


def service_error(detail: str, status: int = 500) -> ApiError:
    """500, or 503 where trying again soon makes sense."""
    return ApiError(status, f"Service internal error: {detail}")


def missing_collection(name: str) -> ApiError:
    """404 in the words of the real server."""
    return not_found(f"Collection `{name}` doesn't exist!")


def not_offered(feature: str) -> ApiError:
    """400 for what the real server does and this stand-in does not."""
    return bad_request(f"{feature} is not offered by this stand-in of the Qdrant server")


def only_known(given: dict[str, object], known: Iterable[str], where: str) -> None:
    """Refuse any key of `given` outside `known`, naming both. Raises `ApiError` 400."""
    allowed = tuple(known)
    for key in given:
        if key not in allowed:
            names = ", ".join(f"`{name}`" for name in allowed)
            raise format_error(f"unknown field `{key}` in {where}, expected one of {names}")


_WRONG_INPUT = ("Vector dimension error", "Not existing vector name", "Wrong usage of multi")
_BAD_REQUEST = (
    "No appropriate index for faceting",
    "No range index for",
    "Validation failed",
    "Validation error",
    "Wrong vector",
    "Unsupported",
)


def from_engine(error: BaseException) -> ApiError:
    """Map an exception of the engine, which carries nothing but text, to an `ApiError`."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, ValueError | TypeError | OverflowError):
        return format_error(text)
    if text.startswith("No point with id"):
        return not_found(text if text.endswith("found") else f"{text} found")
    if text.startswith(_WRONG_INPUT):
        return wrong_input(text)
    if text.startswith(_BAD_REQUEST):
        return bad_request(text)
    return service_error(text)
