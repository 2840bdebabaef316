"""The HTTP routes of API version 1."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refstack.common.problems import Problem
from refstack.common.responses import JsonResponse, read_body
from refstack.gateway.catalogue import Catalogue
from refstack.gateway.deadline import Deadline
from refstack.gateway.deprecations import DOCUMENT_IN_THE_SINGULAR, Notice
from refstack.gateway.ingest import Ingest
from refstack.gateway.metrics import GatewayMetrics
from refstack.gateway.models import (
    NAME_PATTERN,
    BatchRequest,
    BatchWritten,
    DocumentReceipt,
    DocumentRequest,
    DocumentWritten,
    ListParameters,
    QueryRequest,
    QueryResponse,
)
from refstack.gateway.retrieval import Retrieval
from refstack.gateway.shedding import Gate
from refstack.gateway.tokens import Identity, TokenVerifier

M = TypeVar("M", bound=BaseModel)
Handler = Callable[[Request, Identity, Deadline], Awaitable[Response]]

CANARY_HEADER = "X-Embed-Canary"
QUERY_BYTES = 64 * 1024
DOCUMENT_BYTES = 8 * 1024 * 1024
_NO_STORE = {"Cache-Control": "no-store"}


def invalid(error: ValidationError) -> Problem:
    """What is wrong where, without repeating what was sent: 400 for no JSON, else 422."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if any(each["type"] == "json_invalid" for each in errors):
        return Problem(400, "The body is not JSON.")
    listed = [{"loc": list(each["loc"])[:4], "msg": each["msg"]} for each in errors[:20]]
    return Problem(422, "The request does not fit its schema.", errors=listed)


async def _parsed(request: Request, model: type[M], limit_bytes: int) -> M:
    body = await read_body(request, limit_bytes)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None


def _require_persona(identity: Identity, persona: str) -> None:
    if persona not in identity.personas:
        raise Problem(403, "The token gives no access to this persona.")


def _no_such_document() -> Problem:
    return Problem(404, "There is no such document.")


def _document_id(request: Request) -> str:
    document_id = str(request.path_params["document_id"])
    # What could never have been written is absent, not an error; the database would not even
    # take some of it (NUL, lone surrogates).
    if not re.fullmatch(NAME_PATTERN, document_id):
        raise _no_such_document()
    return document_id


def _json(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = model.model_dump_json().encode()
    return JsonResponse(content, status, headers={**_NO_STORE, **(headers or {})})


class Api:
    """Handlers of all routes under `/v1/`. Each has an identity and `timeout_s` seconds.

    At most `max_inflight` requests are served at a time, of which at most `max_writes` are of
    documents to store; further ones are refused at once.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        retrieval: Retrieval,
        ingest: Ingest,
        catalogue: Catalogue,
        metrics: GatewayMetrics,
        timeout_s: float,
        max_inflight: int,
        max_writes: int,
    ) -> None:
        self._verifier = verifier
        self._retrieval = retrieval
        self._ingest = ingest
        self._catalogue = catalogue
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._gate = Gate(max_inflight, metrics.shed.inc)
        self._write_gate = Gate(max_writes, metrics.shed.inc)

    def routes(self) -> list[Route]:
        """The routes."""
        writes = self._write_gate
        return [
            Route("/v1/query", self._entered(self._query), methods=["POST"]),
            Route("/v1/documents", self._entered(self._write_one, writes), methods=["POST"]),
            Route("/v1/documents", self._entered(self._list), methods=["GET"]),
            Route(
                "/v1/documents/batch", self._entered(self._write_batch, writes), methods=["POST"]
            ),
            Route("/v1/documents/{document_id}", self._entered(self._get), methods=["GET"]),
            Route("/v1/documents/{document_id}", self._entered(self._delete), methods=["DELETE"]),
            Route(
                DOCUMENT_IN_THE_SINGULAR.path,
                self._entered(self._get),
                methods=[DOCUMENT_IN_THE_SINGULAR.method],
                middleware=[Middleware(Notice, DOCUMENT_IN_THE_SINGULAR)],
            ),
        ]

    def _entered(
        self, handler: Handler, gate: Gate | None = None
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            # The parts give up a little before the whole, so that what they were doing (clearing
            # away after a commit, say) still ends in an answer of its own.
            deadline = Deadline(0.95 * self._timeout_s)
            try:
                # The narrow gate first, and both before the body is read: what is refused must cost
                # next to nothing, or a flood of writes would still take the queries' time.
                with gate.entered() if gate else nullcontext(), self._gate.entered():
                    async with asyncio.timeout(self._timeout_s):
                        bearer = request.headers.get("authorization")
                        identity = await self._verifier.identify(bearer)
                        return await handler(request, identity, deadline)
            except TimeoutError:
                raise Problem(
                    503,
                    f"The request was not done within {self._timeout_s:g} s.",
                    kind="budget-exhausted",
                    headers={"Retry-After": "2"},
                ) from None

        return endpoint

    async def _query(self, request: Request, identity: Identity, deadline: Deadline) -> Response:
        asked = await _parsed(request, QueryRequest, QUERY_BYTES)
        _require_persona(identity, asked.persona)
        ask_canary = request.headers.get(CANARY_HEADER) == "1"
        found = await self._retrieval.answer(identity, asked, deadline, ask_canary=ask_canary)
        for reason in found.degraded:
            self._metrics.degraded.labels(reason).inc()
        answer = QueryResponse.model_validate(
            {
                "results": found.results,
                "embed_model": found.model,
                "degraded": found.degraded or None,
                "trace_id": request.scope["trace_id"],
            }
        )
        return _json(answer, headers={CANARY_HEADER: "1"} if found.canary else None)

    async def _write_one(
        self, request: Request, identity: Identity, deadline: Deadline
    ) -> Response:
        document = await _parsed(request, DocumentRequest, DOCUMENT_BYTES)
        _require_persona(identity, document.persona)
        drafts, model = await self._ingest.write(identity, [document], deadline)
        self._metrics.documents.labels("ingest").inc()
        written = DocumentWritten(
            document_id=drafts[0].document_id, chunks=len(drafts[0].chunks), embed_model=model
        )
        return _json(written, 201)

    async def _write_batch(
        self, request: Request, identity: Identity, deadline: Deadline
    ) -> Response:
        batch = await _parsed(request, BatchRequest, DOCUMENT_BYTES)
        for document in batch.documents:
            _require_persona(identity, document.persona)
        drafts, model = await self._ingest.write(identity, batch.documents, deadline)
        self._metrics.documents.labels("ingest").inc(len(drafts))
        receipts = [
            DocumentReceipt(document_id=draft.document_id, chunks=len(draft.chunks))
            for draft in drafts
        ]
        return _json(BatchWritten(documents=receipts, embed_model=model), 201)

    async def _list(self, request: Request, identity: Identity, deadline: Deadline) -> Response:
        try:
            parameters = ListParameters.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise invalid(error) from None
        if parameters.persona is not None:
            _require_persona(identity, parameters.persona)
        return _json(await self._catalogue.page(identity, parameters, deadline))

    async def _get(self, request: Request, identity: Identity, deadline: Deadline) -> Response:
        document = await self._catalogue.get(identity, _document_id(request), deadline)
        if document is None:
            raise _no_such_document()
        return _json(document)

    async def _delete(self, request: Request, identity: Identity, deadline: Deadline) -> Response:
        if not await self._ingest.delete(identity, _document_id(request), deadline):
            raise _no_such_document()
        self._metrics.documents.labels("delete").inc()
        return Response(status_code=204, headers=_NO_STORE)
