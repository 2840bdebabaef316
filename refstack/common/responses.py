"""JSON bodies in and out."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from refstack.common.problems import Problem


class JsonResponse(Response):
    """A response whose content is any JSON-able value, or bytes that are JSON already."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else orjson.dumps(content)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body of a request.

    Raises `Problem` 413 as soon as more than `limit_bytes` are declared or have arrived.
    """
    too_large = Problem(413, f"The body may hold at most {limit_bytes} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise too_large
        parts.append(part)
    return b"".join(parts)
