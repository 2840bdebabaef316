"""What a gateway is asked and what it says, apart from how its HTTP API puts that.

A gateway of another API is tested through a :class:`GatewayApi` of its own, which a target file
names (``[roles.gateway] adapter``); ``docs/attach.md`` shows one. Everything that the cases and the
load generator send to the gateway or the edge is made by it and read by it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import urlencode

from harness.core.errors import HarnessError, NotAllowed

FEATURES: dict[str, str] = {
    "batch": "many documents in one write, all or none",
    "filter": "a query narrowed by metadata",
    "rerank": "a choice between results that were reranked and ones that were not",
    "list": "the documents of a user, page by page",
    "native-api": "the reference gateway's own HTTP API, which the request as written is about",
}
"""What a gateway may lack. The last one is what only :class:`ReferenceApi` has."""


@dataclass(frozen=True)
class Query:
    """Ask a question as a persona; 200 with ``results``, best first."""

    query: str
    persona: str
    top_k: int = 5
    rerank: bool = True
    filter: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Write:
    """Write or replace a document; 201 once it is durable."""

    persona: str
    text: str
    document_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WriteBatch:
    """Write documents together, all or none; 201 once all are durable."""

    documents: tuple[Write, ...]


@dataclass(frozen=True)
class Read:
    """Read a document; 404 for one that is absent and for one that is foreign."""

    document_id: str


@dataclass(frozen=True)
class List:
    """List documents, of one persona or of all that the token has."""

    persona: str | None = None
    cursor: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Delete:
    """Delete a document; 204, or 404 as for :class:`Read`."""

    document_id: str


@dataclass(frozen=True)
class Health:
    """Ask without a token whether requests would be served; 200 or 503."""


Operation = Query | Write | WriteBatch | Read | List | Delete | Health
_KINDS: dict[str, type] = {
    kind.__name__: kind for kind in (Query, Write, WriteBatch, Read, List, Delete, Health)
}


@dataclass(frozen=True)
class Call:
    """One HTTP request of a gateway's own API; ``path`` starts at the role's URL."""

    method: str
    path: str
    json: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The path with its query string."""
        return f"{self.path}?{urlencode(self.params)}" if self.params else self.path


@dataclass(frozen=True)
class Reply:
    """One HTTP answer as it came; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Said:
    """What an answer says in our words.

    ``status``: 200 for what was found, 201 written, 204 deleted; 401 no valid token, 403 not this
    persona, 404 absent or foreign, 409 an id that is taken, 422 a request that makes no sense, 503
    not now, 500 anything else.

    ``body``: of a :class:`Query` ``results`` (each ``document_id`` and ``text``, and where there
    is one ``chunk_id score metadata``), ``embed_model degraded trace_id``; of a :class:`Write`
    ``document_id``; of a :class:`WriteBatch` and of a :class:`List` ``documents`` (each
    ``document_id``), a list also ``next_cursor`` (``None`` on the last page); of a :class:`Read`
    ``document_id persona text metadata``; of :class:`Health` ``software`` and ``version``. What a
    gateway does not tell is left out, and a case that asks for it is skipped.
    """

    status: int
    body: Any = None


class Told(dict[str, Any]):
    """A body whose missing fields are what this gateway does not tell, and no mistake of a case."""

    def __missing__(self, key: str) -> Any:
        raise NotAllowed(
            f"This gateway's API does not tell {key!r}.",
            actual=f"its adapter gives {', '.join(sorted(self)) or 'nothing'}",
            next_step="give it in the adapter's answer, if the API has it in some way",
        )


class GatewayApi(ABC):
    """A gateway's HTTP API: how an operation is asked for, and what an answer to it says.

    A class has no arguments and keeps nothing between two calls: one object serves every thread
    and every tenant.
    """

    name: ClassVar[str]
    """What reports call this API."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """Of :data:`FEATURES` what this API has not, each with a reason that reports show."""
    varying: ClassVar[tuple[str, ...]] = ()
    """Header and body fields that differ between two answers to the same request, as an id of the
    request does."""
    spec: str = ""
    """What the target file called it, as another process of the run can load it."""

    @abstractmethod
    def call(self, operation: Operation) -> Call:
        """Return the request that asks for ``operation``."""

    @abstractmethod
    def said(self, operation: Operation, reply: Reply) -> Said:
        """Return what the answer to ``operation`` says."""

    def credentials(self, token: str) -> dict[str, str]:
        """Return the headers that carry a token."""
        return {"Authorization": f"Bearer {token}"}

    def missing(self, feature: str) -> str:
        """Return why this API lacks a feature, or an empty string if it has it."""
        if feature == "native-api" and not isinstance(self, ReferenceApi):
            return f"the gateway is reached through the adapter {self.name!r}"
        return self.lacks.get(feature, "")

    def ask(self, operation: Operation) -> Call:
        """Return the request that asks for ``operation``.

        Raises:
            NotAllowed: the operation uses what this API lacks.
        """
        for feature in _uses(operation):
            if reason := self.missing(feature):
                raise NotAllowed(
                    f"The gateway's API has no {feature} ({FEATURES[feature]}).", actual=reason
                )
        return self.call(operation)

    def read(self, operation: Operation, reply: Reply) -> Said:
        """Return what an answer says, checked for what no operation can do without.

        Raises:
            HarnessError: the adapter can't read an answer that is no server error, or leaves out
                what it must give.
        """
        try:
            said = self.said(operation, reply)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if reply.status >= 500:
                return Said(reply.status)
            raise self._unreadable(operation, reply, f"{type(error).__name__}: {error}") from error
        if said.status < 300:
            problem = _lacking(operation, said)
            if problem:
                raise self._unreadable(operation, reply, problem)
        return replace(said, body=_told(said.body))

    def _unreadable(self, operation: Operation, reply: Reply, why: str) -> HarnessError:
        kind = type(operation).__name__
        return HarnessError(
            f"The adapter {self.name!r} could not read the gateway's answer to a {kind}.",
            expected="a status and, for a success, the fields that harness.core.gateway_api names",
            actual=f"{why}; the answer was {reply.status}: {reply.text[:200]}",
            next_step=f"mend said() of {self.spec or type(self).__name__}",
        )


def _uses(operation: Operation) -> list[str]:
    uses = {
        "batch": isinstance(operation, WriteBatch),
        "list": isinstance(operation, List),
        "filter": isinstance(operation, Query) and operation.filter is not None,
        "rerank": isinstance(operation, Query) and not operation.rerank,
    }
    return [feature for feature, used in uses.items() if used]


_SUCCESS: dict[type, tuple[int, tuple[str, ...], str, tuple[str, ...]]] = {
    Query: (200, ("results",), "results", ("document_id", "text")),
    Write: (201, ("document_id",), "", ()),
    WriteBatch: (201, ("documents",), "documents", ("document_id",)),
    Read: (200, ("document_id", "text"), "", ()),
    List: (200, ("documents", "next_cursor"), "documents", ("document_id",)),
    Delete: (204, (), "", ()),
    Health: (200, (), "", ()),
}
"""What a success must say: its status, its fields, and the fields of each row of which list."""


def _lacking(operation: Operation, said: Said) -> str:
    status, fields, rows, columns = _SUCCESS[type(operation)]
    if said.status != status:
        return f"a success is {status} and not {said.status}"
    if not fields:
        return ""
    if not isinstance(said.body, Mapping):
        return f"a success has a body with {', '.join(fields)}"
    absent = [name for name in fields if name not in said.body]
    if not absent and rows:
        listed = said.body[rows]
        if not isinstance(listed, list) or not all(isinstance(row, Mapping) for row in listed):
            return f"{rows} is no list of objects"
        absent = [f"{rows}.{name}" for name in columns if any(name not in row for row in listed)]
    return f"without {', '.join(absent)}" if absent else ""


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Told(
            {k: [_row(each) for each in v] if isinstance(v, list) else v for k, v in value.items()}
        )
    return value


def _row(value: Any) -> Any:
    return Told(value) if isinstance(value, Mapping) else value


class ReferenceApi(GatewayApi):
    """The reference gateway's API, version 1 (``/v1``); our words are its own."""

    name = "reference"

    def call(self, operation: Operation) -> Call:
        """Return the request of the reference API."""
        match operation:
            case Query():
                body = {
                    k: v for k, v in asdict(operation).items() if k != "filter" or v is not None
                }
                return Call("POST", "/v1/query", body)
            case Write():
                return Call("POST", "/v1/documents", _document(operation))
            case WriteBatch(documents):
                listed = [_document(each) for each in documents]
                return Call("POST", "/v1/documents/batch", {"documents": listed})
            case Read(document_id):
                return Call("GET", f"/v1/documents/{document_id}")
            case List():
                given = {k: v for k, v in asdict(operation).items() if v is not None}
                return Call("GET", "/v1/documents", params=given)
            case Delete(document_id):
                return Call("DELETE", f"/v1/documents/{document_id}")
            case Health():
                return Call("GET", "/readyz")

    def said(self, operation: Operation, reply: Reply) -> Said:
        """Return the answer as it is."""
        return Said(reply.status, json.loads(reply.text) if reply.text else None)


def _document(write: Write) -> dict[str, Any]:
    given = asdict(write)
    return {k: v for k, v in given.items() if k != "document_id" or v is not None}


def as_json(operation: Operation) -> dict[str, Any]:
    """Return an operation as JSON values, for another process of the run."""
    return {"kind": type(operation).__name__, **asdict(operation)}


def from_json(given: Mapping[str, Any]) -> Operation:
    """Return the operation that :func:`as_json` gave."""
    fields = {name: value for name, value in given.items() if name != "kind"}
    if given["kind"] == "WriteBatch":
        fields["documents"] = tuple(Write(**each) for each in fields["documents"])
    make: Callable[..., Operation] = _KINDS[given["kind"]]
    return make(**fields)


REFERENCE = ReferenceApi()
"""The API of a target whose file names no other."""
