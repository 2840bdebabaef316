"""The request, response and error shapes of OpenAI's embeddings API."""

from __future__ import annotations

import base64
from collections.abc import Collection
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
from refstack.embed.models import Vectors

MOST_BYTES = 8 << 20
MOST_TEXTS = 2048
MOST_CHARACTERS = 65_536
_FIELDS = ("input", "model", "encoding_format", "dimensions", "user")
_ENCODINGS = ("float", "base64")


class ApiError(Exception):
    """An error in OpenAI's shape. `message` holds nothing of the input and no key."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = headers or {}


@dataclass(frozen=True)
class Ask:
    """One checked request for embeddings."""

    texts: list[str]
    model: str
    encoding: str


def parse(body: bytes, models: Collection[str], dimensions: dict[str, int]) -> Ask:
    """Check the body of `POST /v1/embeddings`; raises ApiError 400 or, for the model, 404."""
    try:
        fields = orjson.loads(body)
    except ValueError:
        raise ApiError(400, "The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "The body must be a JSON object with `input` and `model`.")
    for name in fields:
        if name not in _FIELDS:
            raise ApiError(
                400,
                f"Unrecognized request argument; the arguments are {', '.join(_FIELDS)}.",
                param=str(name)[:64],
            )
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "You must provide a `model` as a string.", param="model")
    if model not in models:
        raise ApiError(
            404,
            f"The model `{model[:64]}` does not exist here; there is {', '.join(models)}.",
            param="model",
            code="model_not_found",
        )
    encoding = fields.get("encoding_format", "float")
    if encoding not in _ENCODINGS:
        raise ApiError(
            400, "`encoding_format` must be `float` or `base64`.", param="encoding_format"
        )
    if fields.get("dimensions", dimensions[model]) != dimensions[model]:
        raise ApiError(
            400, f"`{model}` gives {dimensions[model]} dimensions, no other.", param="dimensions"
        )
    return Ask(_texts(fields.get("input")), model, encoding)


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise ApiError(
            400, "`input` must be a string or an array of strings (no token ids).", param="input"
        )
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise ApiError(
            400,
            f"`input` must hold 1 to {MOST_TEXTS} texts; it holds {len(texts)}.",
            param="input",
        )
    for place, text in enumerate(texts):
        if not 1 <= len(text) <= MOST_CHARACTERS:
            raise ApiError(
                400,
                f"Each text must have 1 to {MOST_CHARACTERS} characters; "
                f"text {place} has {len(text)}.",
                param="input",
            )
    return texts


def respond(ask: Ask, vectors: Vectors, tokens: int) -> Response:
    """The list of embeddings in the order of the texts."""
    return JsonResponse(
        orjson.dumps(
            {
                "object": "list",
                "data": [
                    {
                        "object": "embedding",
                        "index": index,
                        "embedding": _encoded(vector) if ask.encoding == "base64" else vector,
                    }
                    for index, vector in enumerate(vectors)
                ],
                "model": ask.model,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
    )


def _encoded(vector: Vectors) -> str:
    """Little-endian single-precision floats."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def _shaped(error: ApiError) -> Response:
    return JsonResponse(error.body, error.status, headers=error.headers)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _shaped(error)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _shaped(ApiError(error.status, error.detail, headers=error.headers))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "Unknown request URL.", 405: "This URL does not take that method."}
    code = {404: "unknown_url", 405: "method_not_supported"}.get(error.status_code)
    message = messages.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    return _shaped(ApiError(error.status_code, message, code=code, headers=headers))


async def _on_any(request: Request, error: Exception) -> Response:
    get_logger().error("failed", exc_info=error)
    return _shaped(ApiError(500, "The server had an error.", kind="server_error"))


EXCEPTION_HANDLERS: dict[Any, Any] = {
    ApiError: _on_api_error,
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    Exception: _on_any,
}
"""For `Starlette(exception_handlers=...)`: every error in OpenAI's shape."""
