"""Requests and responses of API version 1; these very models validate and serialise."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
)

MAX_TOP_K = 50
MAX_BATCH = 256
MAX_TEXT = 400_000
MAX_CHUNKS = 2_048
MAX_KEYS = 32

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}"

_INT64 = 2**63


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold the character NUL")
    return text


def _int64(value: object) -> object:
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError("must fit in 64 bits")
    return value


Persona = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
DocumentId = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Text = Annotated[str, AfterValidator(_without_nul)]
MetadataKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Short = Annotated[StrictStr, Field(max_length=1024), AfterValidator(_without_nul)]
_Integer = Annotated[StrictInt, AfterValidator(_int64)]
_Float = Annotated[StrictFloat, Field(allow_inf_nan=False)]
MetadataValue = StrictBool | _Integer | _Float | _Short
FilterValue = StrictBool | _Integer | _Short
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_KEYS)]
Filter = Annotated[dict[MetadataKey, FilterValue], Field(max_length=MAX_KEYS)]
Tier = Literal["hot", "warm", "cold"]


class Request(BaseModel):
    """A request's part: unknown fields are refused, and nothing is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Response(BaseModel):
    """A response's part."""

    model_config = ConfigDict(frozen=True)


class QueryRequest(Request):
    """A question to be answered with the best chunks of one persona's documents."""

    query: Annotated[Text, Field(min_length=1, max_length=4_000)]
    persona: Persona
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] = 5
    rerank: bool = True
    filter: Annotated[
        Filter | None,
        Field(description="Document metadata that must be equal: {key: value}, nothing else."),
    ] = None

    @field_validator("query")
    @classmethod
    def _says_something(cls, query: str) -> str:
        if not query.strip():
            raise ValueError("must hold more than white space")
        return query


class QueryResult(Response):
    """One chunk; scores compare within one response only."""

    chunk_id: str
    document_id: str
    text: str
    score: float
    metadata: dict[str, Any]


class QueryResponse(Response):
    """The best chunks first."""

    results: list[QueryResult]
    embed_model: Annotated[str, Field(description="The model whose vectors were compared.")]
    degraded: Annotated[
        list[Literal["embed_fallback", "rerank_unavailable"]] | None,
        Field(description="What this answer had to do without; null for the full service."),
    ]
    trace_id: str


class DocumentRequest(Request):
    """A document to be written; an id that the tenant has already is replaced."""

    document_id: Annotated[
        DocumentId | None, Field(description="Made by the service when absent.")
    ] = None
    persona: Persona
    text: Annotated[Text, Field(min_length=1, max_length=MAX_TEXT)]
    metadata: Metadata = Field(default_factory=dict)
    tier: Tier = "hot"

    @field_validator("text")
    @classmethod
    def _holds_words(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("must hold more than white space")
        return text


class BatchRequest(Request):
    """Documents to be written together, all or none; no id may occur twice."""

    documents: Annotated[list[DocumentRequest], Field(min_length=1, max_length=MAX_BATCH)]

    @field_validator("documents")
    @classmethod
    def _each_once(cls, documents: list[DocumentRequest]) -> list[DocumentRequest]:
        ids = [document.document_id for document in documents if document.document_id]
        if len(set(ids)) != len(ids):
            raise ValueError("must not hold the same document_id twice")
        return documents


class DocumentReceipt(Response):
    """What was written of one document."""

    document_id: str
    chunks: Annotated[int, Field(ge=1)]


class DocumentWritten(DocumentReceipt):
    """The acknowledgement of one document: it is durable in both stores."""

    embed_model: str


class BatchWritten(Response):
    """The acknowledgement of a batch: every document is durable in both stores."""

    documents: list[DocumentReceipt]
    embed_model: str


class DocumentSummary(Response):
    """A document without its text."""

    document_id: str
    persona: str
    tier: Tier
    metadata: dict[str, Any]
    chunks: int
    embed_model: str
    content_sha256: Annotated[str, Field(description="SHA-256 of the text in UTF-8, hex.")]
    ingested_at: datetime


class Document(DocumentSummary):
    """A document with the text as it was posted."""

    text: str


class DocumentList(Response):
    """One page of documents in the order of their ids."""

    documents: list[DocumentSummary]
    next_cursor: Annotated[
        str | None, Field(description="For the next page; null when this is the last one.")
    ]


class ListParameters(BaseModel):
    """The query string of the list of documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    persona: Persona | None = None
    cursor: Annotated[str, Field(max_length=256)] | None = None
    limit: Annotated[int, Field(ge=1, le=256)] = 100


class InvalidField(Response):
    """One thing that is wrong with a request."""

    loc: list[str | int]
    msg: str


class Problem(Response):
    """An error, as in RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    trace_id: str
    errors: Annotated[
        list[InvalidField] | None, Field(description="With status 422: what is wrong where.")
    ] = None


PUBLISHED: tuple[type[BaseModel], ...] = (
    QueryRequest,
    QueryResponse,
    DocumentRequest,
    DocumentWritten,
    BatchRequest,
    BatchWritten,
    Document,
    DocumentList,
    Problem,
)
